// From the browser's statistics of a connection to figures per stream and to words for people.
// Knows nothing of members or elements.

const percent = (part, whole) => (whole > 0 ? Math.min(100, (part / whole) * 100) : 0);

/** Figures of one report, with what the one before had. */
function figures(rtp, report, before) {
  const sending = rtp.type === 'outbound-rtp';
  const last = before.get(rtp.id);
  const now = {
    at: rtp.timestamp,
    bytes: sending ? rtp.bytesSent : rtp.bytesReceived,
    packets: (sending ? rtp.packetsSent : rtp.packetsReceived) ?? 0,
    lost: rtp.packetsLost ?? 0,
    freezes: rtp.freezeCount ?? 0,
  };
  const seconds = last ? (now.at - last.at) / 1000 : 0;
  const since = (field) => (last ? Math.max(0, now[field] - last[field]) : 0);
  const remote = sending ? report.get(rtp.remoteId) : undefined;
  const lost = since('lost');
  return {
    now,
    entry: {
      mid: rtp.mid,
      kind: rtp.kind,
      rid: rtp.rid ?? null,
      codec: (report.get(rtp.codecId)?.mimeType ?? '').split('/')[1] ?? '',
      kbps: seconds > 0 ? Math.round((since('bytes') * 8) / seconds / 1000) : 0,
      loss: sending ? (remote?.fractionLost ?? 0) * 100 : percent(lost, lost + since('packets')),
      width: rtp.frameWidth ?? 0,
      height: rtp.frameHeight ?? 0,
      fps: Math.round(rtp.framesPerSecond ?? 0),
      frames: (sending ? rtp.framesEncoded : rtp.framesDecoded) ?? 0,
      freezes: since('freezes'),
      limited: rtp.qualityLimitationReason ?? 'none',
      active: rtp.active !== false,
    },
  };
}

/** Reads a connection's statistics: {roundTripMs, streams in each direction by mid}. `before` is
 * kept by the caller from one reading to the next. */
export function read(report, before) {
  const incoming = new Map();
  const outgoing = new Map();
  let pair;
  for (const entry of report.values()) {
    if (entry.type === 'transport') pair = report.get(entry.selectedCandidatePairId);
    if (entry.type !== 'inbound-rtp' && entry.type !== 'outbound-rtp') continue;
    const { now, entry: made } = figures(entry, report, before);
    before.set(entry.id, now);
    const side = entry.type === 'inbound-rtp' ? incoming : outgoing;
    side.set(made.mid, [...(side.get(made.mid) ?? []), made]);
  }
  const seconds = pair?.currentRoundTripTime;
  return { roundTripMs: seconds === undefined ? null : Math.round(seconds * 1000), incoming, outgoing };
}

const GRADES = ['poor', 'fair', 'good'];

/** How good a path is, by loss in percent, freezes in the last second and round trip: a grade of
 * 0 (poor) to 2 (good). */
const grade = ({ loss, freezes, roundTripMs }) => {
  if (loss > 8 || freezes > 0 || roundTripMs > 600) return 0;
  if (loss > 2 || roundTripMs > 250) return 1;
  return 2;
};

const size = ({ width, height, fps }) => (width ? `${width}×${height}, ${fps} fps` : 'no picture yet');

/** What is received of a member: {grade, word, lines}. */
export function judge(streams, roundTripMs) {
  if (!streams.length) return null;
  const loss = Math.max(...streams.map((stream) => stream.loss));
  const freezes = Math.max(...streams.map((stream) => stream.freezes));
  const value = grade({ loss, freezes, roundTripMs: roundTripMs ?? 0 });
  const lines = streams.map((stream) => (stream.kind === 'video'
    ? `${stream.codec} ${size(stream)}, ${stream.kbps} kbit/s`
    : `${stream.codec} ${stream.kbps} kbit/s`));
  lines.push(`loss ${loss.toFixed(1)} %`);
  if (roundTripMs !== null) lines.push(`round trip ${roundTripMs} ms`);
  return { grade: value, word: GRADES[value], lines };
}

/** What is sent: {grade, word, lines}. */
export function judgeOwn(streams, roundTripMs) {
  const sending = streams.filter((stream) => stream.active);
  const verdict = judge(sending, roundTripMs);
  if (!verdict) return null;
  const limits = { bandwidth: 'your network', cpu: "this computer's speed" };
  const limit = sending.map((stream) => limits[stream.limited]).find(Boolean);
  if (limit) verdict.lines.push(`limited by ${limit}`);
  if (limit === limits.bandwidth && verdict.grade === 2) {
    Object.assign(verdict, { grade: 1, word: GRADES[1] });
  }
  return verdict;
}
