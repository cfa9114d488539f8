// As callers.py's first, with @grpc/grpc-js, from an address of its own.
//   caller.js PORT NUMBER [CA CERTIFICATE KEY]
const fs = require('fs');
const http2 = require('http2');

const SOURCE = '127.0.0.66';
const connect = http2.connect;
// grpc-js has no option for it.
http2.connect = (authority, options, listener) =>
  connect(authority, { ...options, localAddress: SOURCE }, listener);

const grpc = require('@grpc/grpc-js');

const PACE = 4; // ms between two calls
const DEADLINE = 5000;
const REPORT_EVERY = 200;
const [port, number, ca, certificate, key] = process.argv.slice(2);

const read = (file) => (file ? fs.readFileSync(file) : null);
const credentials = ca
  ? grpc.credentials.createSsl(read(ca), read(key), read(certificate))
  : grpc.credentials.createInsecure();
const client = new grpc.Client(`127.0.0.1:${port}`, credentials, {
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 200,
});
const same = (bytes) => bytes;
const requests = [
  ['GetNumber', Buffer.concat([Buffer.from([0x0a, number.length]), Buffer.from(number)])],
  ['ListAvailableNumbers', Buffer.from([0x08, 0x32])],
];
// By the same clock as the others.
const now = () => Number(process.hrtime.bigint()) / 1e9;
const empty = () => ({ who: 'grpc-js', calls: [], failed: [], lost: [] });
let record = empty();
let stopped = false;

function call([method, message]) {
  return new Promise((ended) => {
    const start = now();
    client.makeUnaryRequest(`/leasegateway.v1.LeaseService/${method}`, same, same, message,
      new grpc.Metadata(), { deadline: Date.now() + DEADLINE }, (error) => {
        const end = now();
        if (error) record.failed.push([end, `${grpc.status[error.code]} ${error.details}`]);
        else record.calls.push([end, (end - start) * 1000]);
        ended();
      });
  });
}

function report() {
  if (record.calls.length || record.failed.length || record.lost.length) console.log(JSON.stringify(record));
  record = empty();
}

function watchChannel() {
  const channel = client.getChannel();
  const state = channel.getConnectivityState(true);
  channel.watchConnectivityState(state, Infinity, () => {
    if (stopped) return;
    if (state === grpc.connectivityState.READY) record.lost.push([now(), 'its connection ended']);
    watchChannel();
  });
}

async function main() {
  process.on('SIGTERM', () => { stopped = true; });
  const timer = setInterval(report, REPORT_EVERY);
  watchChannel();
  for (let i = 0; !stopped; i += 1) {
    await call(requests[i % requests.length]);
    await new Promise((soon) => { setTimeout(soon, PACE); });
  }
  clearInterval(timer);
  report();
  process.exit(0);
}

main();
