/*
 * The least that the streaming row's work costs in C: one HTTP request, O_DIRECT writes from one page-aligned buffer, SHA-256
 * of the stream and a salted dm-verity tree in the same pass, fsync at the end. Beside otad's pipeline in `npm run bench`;
 * no resume, no time limits, no check of what a server says. Prints the digest and the root.
 *
 * usage: c-direct HOST PORT PATH TARGET LENGTH SALT-HEX     LENGTH: a multiple of 4096; SALT-HEX: 32 bytes
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK = 4096, TRANSFER = 1 << 20, DIGEST = 32, SALT = 32, LEVELS_MAX = 8 };

static SHA256_CTX salted;

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void *aligned(size_t length) {
	void *memory = NULL;
	if (posix_memalign(&memory, BLOCK, length) != 0) die("memory");
	memset(memory, 0, length);
	return memory;
}

static void leaf(const unsigned char *block, unsigned char *digest) {
	SHA256_CTX context = salted;
	SHA256_Update(&context, block, BLOCK);
	SHA256_Final(digest, &context);
}

static void write_all(int file, const unsigned char *bytes, size_t length, off_t offset) {
	while (length > 0) {
		ssize_t written = pwrite(file, bytes, length, offset);
		if (written <= 0) die("write");
		bytes += written;
		length -= (size_t)written;
		offset += written;
	}
}

static size_t up_to_blocks(size_t length) { return (length + BLOCK - 1) / BLOCK * BLOCK; }

/* Writes the levels above the leaves, the top one first, as dm-verity wants them; a superblock's place stays empty. */
static void finish_tree(int file, unsigned char *leaves, size_t blocks, off_t offset, unsigned char *root) {
	unsigned char *levels[LEVELS_MAX] = {leaves};
	size_t lengths[LEVELS_MAX] = {up_to_blocks(blocks * DIGEST)};
	int top = 0;
	while (lengths[top] > BLOCK) {
		size_t count = lengths[top] / BLOCK;
		lengths[top + 1] = up_to_blocks(count * DIGEST);
		levels[top + 1] = aligned(lengths[top + 1]);
		for (size_t index = 0; index < count; index++)
			leaf(levels[top] + index * BLOCK, levels[top + 1] + index * DIGEST);
		top++;
	}
	leaf(levels[top], root);
	offset += BLOCK;
	for (int level = top; level >= 0; level--) {
		write_all(file, levels[level], lengths[level], offset);
		offset += (off_t)lengths[level];
	}
}

static int ask(const char *host, const char *port, const char *path) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die("address");
	int wire = socket(AF_INET, SOCK_STREAM, 0);
	if (wire < 0 || connect(wire, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
	if (dprintf(wire, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host) < 0) die("send");
	return wire;
}

/* Gives the number of body bytes that came along. */
static size_t skip_head(int wire, unsigned char *buffer) {
	size_t filled = 0;
	for (;;) {
		ssize_t got = read(wire, buffer + filled, TRANSFER - 1 - filled);
		if (got <= 0) die("head");
		filled += (size_t)got;
		unsigned char *end = memmem(buffer, filled, "\r\n\r\n", 4);
		if (end == NULL) continue;
		if (memcmp(buffer, "HTTP/1.1 200", 12) != 0) die("status");
		size_t body = filled - (size_t)(end + 4 - buffer);
		memmove(buffer, end + 4, body);
		return body;
	}
}

static void print_hex(const unsigned char *digest) {
	for (int index = 0; index < DIGEST; index++) printf("%02x", digest[index]);
	printf("\n");
}

int main(int count, char **words) {
	if (count != 7) return 64;
	size_t length = strtoull(words[5], NULL, 10);
	unsigned char salt[SALT];
	for (int index = 0; index < SALT; index++)
		if (sscanf(words[6] + 2 * index, "%2hhx", &salt[index]) != 1) return 64;
	if (length == 0 || length % BLOCK != 0) return 64;
	SHA256_Init(&salted);
	SHA256_Update(&salted, salt, SALT);
	size_t blocks = length / BLOCK;
	unsigned char *leaves = aligned(up_to_blocks(blocks * DIGEST));
	unsigned char *buffer = aligned(TRANSFER);
	int file = open(words[4], O_WRONLY | O_DIRECT);
	if (file < 0) die(words[4]);
	int wire = ask(words[1], words[2], words[3]);
	SHA256_CTX whole;
	SHA256_Init(&whole);
	size_t filled = skip_head(wire, buffer);
	for (size_t done = 0; done < length;) {
		size_t wanted = length - done < TRANSFER ? length - done : TRANSFER;
		while (filled < wanted) {
			ssize_t got = read(wire, buffer + filled, wanted - filled);
			if (got <= 0) die("body");
			filled += (size_t)got;
		}
		SHA256_Update(&whole, buffer, wanted);
		for (size_t at = 0; at < wanted; at += BLOCK) leaf(buffer + at, leaves + (done + at) / BLOCK * DIGEST);
		write_all(file, buffer, wanted, (off_t)done);
		done += wanted;
		filled = 0;
	}
	unsigned char digest[DIGEST], root[DIGEST];
	SHA256_Final(digest, &whole);
	finish_tree(file, leaves, blocks, (off_t)length, root);
	if (fsync(file) != 0) die("fsync");
	print_hex(digest);
	print_hex(root);
	return 0;
}
