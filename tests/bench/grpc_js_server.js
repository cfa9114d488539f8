// A @grpc/grpc-js server that answers GetNumber with the bytes of a file: no message is decoded or
// encoded. Arguments: the file with the serialised GetNumberResponse.
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const reply = fs.readFileSync(process.argv[2]);
const same = (bytes) => bytes;
const service = {
  GetNumber: {
    path: '/leasegateway.v1.LeaseService/GetNumber',
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  },
};
const server = new grpc.Server();
server.addService(service, {
  GetNumber: (call, callback) => {
    const metadata = new grpc.Metadata();
    metadata.set('cache-status', 'lease-gateway; hit; ttl=4');
    call.sendMetadata(metadata);
    callback(null, reply);
  },
});
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`port: ${port}`);
});
