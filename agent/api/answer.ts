// Errors as answers: one shape for all of them, the registry's HTTP status, and never the inside of a bug.

import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply } from 'fastify';
import { type ErrorCode, errorCodes, OtadError } from '../core/errors.ts';
import type { ErrorBody } from './schema.ts';

export const errorBody = (code: ErrorCode, message: string, details: OtadError['details'] = {}): ErrorBody => {
  const facts = Object.entries(details).filter(
    (pair): pair is [string, string | number | boolean | null] => pair[1] !== undefined,
  );
  return {
    error: {
      code,
      class: errorCodes[code].class,
      message,
      ...(facts.length === 0 ? {} : { details: Object.fromEntries(facts) }),
    },
  };
};

/** What the client is told. A bug's own words stay in the log: they may hold paths and the client cannot use them. */
export const toOtadError = (error: FastifyError | Error): OtadError => {
  if (error instanceof OtadError) return error;
  const status = (error as FastifyError).statusCode;
  return status !== undefined && status >= 400 && status < 500
    ? new OtadError('BAD_REQUEST', { problem: error.message })
    : new OtadError('INTERNAL', {}, { cause: error });
};

export const sendError = (reply: FastifyReply, error: OtadError): FastifyReply =>
  reply.code(errorCodes[error.code].httpStatus).send(errorBody(error.code, error.message, error.details));

/** Answers what is not even HTTP. */
export const answerMalformed = (_error: Error, socket: Socket): void => {
  if (socket.destroyed || !socket.writable) return;
  const body = JSON.stringify(errorBody('BAD_REQUEST', errorCodes.BAD_REQUEST.sentence));
  socket.end(
    `HTTP/1.1 400 ${STATUS_CODES[400]}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
};

/** Answers an Expect header with anything but 100-continue. */
export const answerExpectation = (_request: IncomingMessage, response: ServerResponse): void => {
  const problem = 'the only expectation is 100-continue';
  const body = JSON.stringify(errorBody('BAD_REQUEST', errorCodes.BAD_REQUEST.sentence, { problem }));
  response.writeHead(400, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
};
