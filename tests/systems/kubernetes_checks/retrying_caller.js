// Makes calls, one after the other, with a service config, and prints what each came to.
// Usage: node retrying_caller.js TARGET SERVICE_CONFIG METHOD=REQUEST...   REQUEST in hexadecimal
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const [target, serviceConfig, ...calls] = process.argv.slice(2);
const same = (bytes) => bytes;
const client = new grpc.Client(target, grpc.credentials.createInsecure(), {
  'grpc.service_config': fs.readFileSync(serviceConfig, 'utf8'),
});

function call(method, request) {
  return new Promise((ended) => {
    client.makeUnaryRequest(method, same, same, Buffer.from(request, 'hex'), () => {})
      .on('status', (status) => ended(grpc.status[status.code]));
  });
}

(async () => {
  for (const pair of calls) {
    const [method, request] = pair.split('=');
    console.log(await call(method, request));
  }
  client.close();
})();
