// gRPC's health protocol (grpc.health.v1), of which there is no package for Connect. Its messages are described by others that
// are the same on the wire: a request is one string, and an answer one number.

import { create, createFileRegistry, type DescMethodUnary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, file_google_protobuf_wrappers } from "@bufbuild/protobuf/wkt";
import type { StringValueSchema, UInt32ValueSchema } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";

const file = create(FileDescriptorProtoSchema, {
  name: "grpc/health/v1/health.proto",
  package: "grpc.health.v1",
  syntax: "proto3",
  dependency: ["google/protobuf/wrappers.proto"],
  service: [
    {
      name: "Health",
      method: [
        { name: "Check", inputType: ".google.protobuf.StringValue", outputType: ".google.protobuf.UInt32Value" },
      ],
    },
  ],
});
const Health = createFileRegistry(file, () => file_google_protobuf_wrappers).getService("grpc.health.v1.Health")!;
const Check = Health.method.check as DescMethodUnary<typeof StringValueSchema, typeof UInt32ValueSchema>;
const SERVING = 1;

/** Says of every service that it is serving. */
export function health(router: ConnectRouter): ConnectRouter {
  return router.rpc(Check, () => ({ value: SERVING }));
}
