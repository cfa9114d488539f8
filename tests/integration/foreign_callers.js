// One call with @grpc/grpc-js over TLS, for foreign_callers.py; prints what came of it as JSON, bytes in hexadecimal.
//   foreign_callers.js TARGET METHOD REQUEST CA CERTIFICATE KEY TOKEN    empty: has none
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const DEADLINE = 20000; // ms
const [target, method, request, ca, certificate, key, token] = process.argv.slice(2);

const read = (file) => (file ? fs.readFileSync(file) : null);
let credentials = grpc.credentials.createSsl(read(ca), read(key), read(certificate));
if (token) {
  const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    done(null, metadata);
  });
  credentials = grpc.credentials.combineChannelCredentials(credentials, bearer);
}
const client = new grpc.Client(target, credentials, { 'grpc.enable_retries': 0, 'grpc.enable_http_proxy': 0 });
const same = (bytes) => bytes;
client.makeUnaryRequest(method, same, same, Buffer.from(request, 'hex'), new grpc.Metadata(), { deadline: Date.now() + DEADLINE },
  (error, reply) => {
    const [status] = error ? error.metadata.get('grpc-status-details-bin') : [];
    console.log(JSON.stringify({
      code: error ? grpc.status[error.code] : 'OK',
      details: error ? error.details : '',
      status: status ? status.toString('hex') : '',
      reply: reply ? reply.toString('hex') : '',
    }));
    client.close();
  });
