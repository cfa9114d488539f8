// As foreign_caller.py, with @grpc/grpc-js.
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const LOOPS = 8; // so that several calls are on a connection when it ends
const EVERY = 100; // calls, from line to line
const [target, serviceConfig, method, request] = process.argv.slice(2);

const client = new grpc.Client(target, grpc.credentials.createInsecure(), {
  'grpc.service_config': fs.readFileSync(serviceConfig, 'utf8'),
});
const message = Buffer.from(request, 'hex');
const same = (bytes) => bytes;
const seen = new Set();
let stopped = false;
let calls = 0;
process.on('SIGTERM', () => { stopped = true; });

// The trailing metadata comes with the status, after the answer.
function call() {
  return new Promise((ended) => {
    const deadline = Date.now() + 10000;
    client.makeUnaryRequest(method, same, same, message, new grpc.Metadata(), { deadline }, () => {})
      .on('status', ended);
  });
}

async function callUntilStopped() {
  while (!stopped) {
    const status = await call();
    calls += 1;
    if (status.code !== grpc.status.OK) {
      console.log(`FAILED ${grpc.status[status.code]} ${status.details}`);
    }
    const [id] = status.metadata.get('lease-gateway-call-id');
    const gateway = id && String(id).split('-')[0];
    if (gateway && !seen.has(gateway)) {
      seen.add(gateway);
      console.log(`process ${gateway}`);
    }
    if (calls % EVERY === 0) console.log(`calls ${calls}`);
  }
}

Promise.all(Array.from({ length: LOOPS }, callUntilStopped)).then(() => {
  console.log(`ended ${calls}`);
  client.close();
});
