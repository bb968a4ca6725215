// The status as one page: readable on a phone, without scripts too, and with nothing loaded from elsewhere. Everything
// that comes from the state is escaped; the content security policy names the page's one style and one script by hash.

import { createHash } from 'node:crypto';
import type { HistoryBody, SlotBody, StatusBody } from './schema.ts';

const style = `
:root{color-scheme:light dark;--ink:#16191d;--dim:#5d6670;--line:#d9dee3;--card:#fff;--back:#f4f6f8;--good:#1a7f47;--warn:#9a6200;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebee;--dim:#9aa4ae;--line:#31383f;--card:#1b2025;--back:#121518;--good:#5bc98c;--warn:#e3ac4a;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:46rem;margin:0 auto;padding:1rem}
header{display:flex;flex-wrap:wrap;gap:.2rem .8rem;align-items:baseline;margin-bottom:.8rem}
h1{font-size:1.9rem;margin:0;line-height:1.2}
h2{font-size:.8rem;letter-spacing:.06em;text-transform:uppercase;color:var(--dim);margin:1.4rem 0 .4rem}
p{margin:.15rem 0}
.dim{color:var(--dim)}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.8rem 1rem;margin:.5rem 0}
.card.alert{border-left:.35rem solid var(--bad)}.card.note{border-left:.35rem solid var(--warn)}
.now{font-size:1.15rem;font-weight:600}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:.6rem}.pair .card{margin:0}
.tag{font-size:.78rem;font-weight:600;border:1px solid currentColor;border-radius:1rem;padding:0 .55rem;white-space:nowrap}
.row{display:flex;flex-wrap:wrap;gap:.3rem .6rem;align-items:baseline}
.row b{font-size:1.15rem}
code{font-size:.8rem;color:var(--dim)}
progress{width:100%;height:.8rem;accent-color:var(--good)}
table{width:100%;border-collapse:collapse;font-size:.9rem}
td{border-top:1px solid var(--line);padding:.35rem .8rem .35rem 0;vertical-align:top}tr:first-child td{border-top:0}td:last-child{padding-right:0}
td.time{white-space:nowrap;color:var(--dim)}
footer{margin-top:1.4rem;font-size:.85rem;color:var(--dim)}
`;

// Fetches the page again and swaps its body; without scripts the page is as of its loading.
const script = `
const stale=document.getElementById('stale');
setInterval(async()=>{
  if(document.hidden)return;
  try{
    const answer=await fetch('/',{cache:'no-store'});
    if(!answer.ok)throw new Error(answer.status);
    const next=new DOMParser().parseFromString(await answer.text(),'text/html');
    document.title=next.title;
    document.querySelector('main').replaceWith(next.querySelector('main'));
    stale.hidden=true;
  }catch{stale.hidden=false}
},2000);
`;

const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

export const pagePolicy = (): string =>
  [
    `default-src 'none'`,
    `style-src ${hash(style)}`,
    `script-src ${hash(script)}`,
    `connect-src 'self'`,
    'img-src data:',
    `base-uri 'none'`,
    `form-action 'none'`,
    `frame-ancestors 'none'`,
  ].join('; ');

export const escapeHtml = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');

const timeHtml = (timeMs: number, isSynced = true): string => {
  const iso = new Date(timeMs).toISOString();
  return `<time datetime="${iso}">${iso.slice(0, 16).replace('T', ' ')}${isSynced ? '' : ' ~'}</time>`;
};

const mebibytes = (bytes: number): string => (bytes / 1048576).toFixed(1);

const tag = (text: string, tone: 'good' | 'warn' | 'bad' | 'dim'): string =>
  `<span class="tag ${tone}">${escapeHtml(text)}</span>`;

const slotTags = (slot: SlotBody): string =>
  [
    slot.booted ? tag('running', 'good') : '',
    slot.state === 'good'
      ? tag('good', 'good')
      : slot.state === 'pending'
        ? tag(slot.triesLeft === null ? 'pending' : `pending, ${slot.triesLeft} tries left`, 'warn')
        : tag('not bootable', slot.recordStatus === 'denied' ? 'bad' : 'dim'),
    slot.verified ? tag('verified', 'good') : '',
    slot.primary ? tag('next boot', 'dim') : '',
  ].join(' ');

const slotHtml = (slot: SlotBody): string => `<div class="card">
<p class="row"><span class="dim">Slot ${slot.name}</span><b>${escapeHtml(slot.version ?? 'unknown')}</b></p>
<p class="row">${slotTags(slot)}</p>
<p>${escapeHtml(slot.note)}</p>
${slot.verityRoot === null ? '' : `<p><code title="dm-verity root">${escapeHtml(slot.verityRoot.slice(0, 16))}…</code></p>`}</div>`;

const progressHtml = (progress: NonNullable<StatusBody['progress']>): string => {
  const { rebuiltBytes, copiedBytes, fetchedBytes, savedBytes } = progress;
  const split = `${mebibytes(rebuiltBytes)} by patch, ${mebibytes(copiedBytes)} copied, ${mebibytes(fetchedBytes)} fetched, ${mebibytes(savedBytes)} saved`;
  return `<p><progress value="${progress.percent}" max="100"></progress></p>
<p class="dim">${mebibytes(progress.doneBytes)} of ${mebibytes(progress.totalBytes)} MiB, ${progress.percent} %; MiB: ${split}</p>`;
};

const alertsHtml = (status: StatusBody): string =>
  [
    status.attention === null
      ? ''
      : `<div class="card alert"><p class="row">${tag('needs attention', 'bad')}<code>${status.attention.code}</code></p><p>${escapeHtml(status.attention.message)}</p></div>`,
    status.hold === null
      ? ''
      : `<div class="card note"><p class="row">${tag('held', 'warn')}<span>since ${timeHtml(status.hold.sinceMs, status.timeSynced)}</span></p><p>${escapeHtml(status.hold.reason ?? 'No reason was given.')}</p></div>`,
  ].join('');

const lastCheckHtml = ({ lastCheck, timeSynced }: StatusBody): string => {
  if (lastCheck === null) return '<p>The server has not been asked yet.</p>';
  const lines = [
    ...(lastCheck.failure === null ? [] : [`<p class="bad">${escapeHtml(lastCheck.failure.message)}</p>`]),
    ...lastCheck.reasons.map((reason) => `<p>${escapeHtml(reason.sentence)}</p>`),
  ];
  const offered = lastCheck.version === null ? '' : `, offered: <b>${escapeHtml(lastCheck.version)}</b>`;
  return `<p class="dim">${timeHtml(lastCheck.timeMs, timeSynced)}${offered}</p>${lines.join('')}`;
};

const historyHtml = ({ history }: HistoryBody): string =>
  history
    .map(
      (entry) =>
        `<tr><td class="time">${timeHtml(entry.timeMs, entry.isTimeSynced)}</td><td>${escapeHtml(entry.type)}${entry.version === null ? '' : ` <b>${escapeHtml(entry.version)}</b>`}${entry.reason === null ? '' : `<br><span class="dim">${escapeHtml(entry.reason)}</span>`}</td></tr>`,
    )
    .join('');

export const pageHtml = (status: StatusBody, recent: HistoryBody): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="referrer" content="no-referrer"><title>${escapeHtml(status.version ?? 'unknown')} · ${escapeHtml(status.compatible)}</title>
<link rel="icon" href="data:,"><style>${style}</style></head><body><main>
<header><h1>${escapeHtml(status.version ?? 'unknown version')}</h1>${status.confirmed ? tag('confirmed', 'good') : tag('not confirmed', 'warn')}<span class="dim">${escapeHtml(status.compatible)} · channel ${escapeHtml(status.channel)}</span></header>
${alertsHtml(status)}
<div class="card"><p class="now">${escapeHtml(status.now)}</p><p>${escapeHtml(status.next)}</p>${status.todo === null ? '' : `<p><b>To do</b> ${escapeHtml(status.todo)}</p>`}${status.progress === null ? '' : progressHtml(status.progress)}</div>
<h2>Slots</h2><div class="pair">${status.slots.map(slotHtml).join('')}</div>
<h2>Last check</h2><div class="card">${lastCheckHtml(status)}</div>
${status.denylist.length === 0 ? '' : `<h2>Denied here, not retried</h2><div class="card"><p>${status.denylist.map(escapeHtml).join(', ')}</p></div>`}
<h2>History</h2><div class="card"><table>${historyHtml(recent)}</table></div>
<footer>otad ${escapeHtml(status.agentVersion)} · times in UTC${status.timeSynced ? '' : ' · the clock is not synchronised'} · read-only; to act: otactl</footer>
</main><p id="stale" class="card alert" hidden>otad does not answer; what stands above is old.</p><script>${script}</script></body></html>
`;
