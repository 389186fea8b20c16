//! The services that clients call: convert, call, convert.

mod admin;
mod batch;
mod calls;
mod gateway;
mod info;
mod refusal;
mod response;
mod results;
mod stream;
mod subscription;

use tonic::service::{Routes, RoutesBuilder};
use tonic_health::pb::health_server::{Health, HealthServer};

pub use admin::{Admin, OPEN_PAGES, admin_routes};
pub use calls::Refused;
pub use gateway::Gateway;
use refusal::Refusal;

use crate::types::limits;
use crate::wire::DESCRIPTORS;
use crate::wire::service::gateway_server::{GatewayServer, SERVICE_NAME};

/// Everything on the client port: the gateway, health and reflection.
pub fn routes(gateway: Gateway, health: HealthServer<impl Health>) -> Routes {
    let gateway = GatewayServer::new(gateway)
        .max_decoding_message_size(limits::REQUEST_BYTES)
        // Answers and events have bounds of their own, which are told as outcomes and gaps.
        .max_encoding_message_size(limits::REQUEST_BYTES);
    let mut routes = RoutesBuilder::default();
    routes.add_service(gateway).add_service(health);
    // Old grpcurl and most browser tools ask v1alpha, new ones v1.
    routes.add_service(
        reflection(SERVICE_NAME)
            .build_v1()
            .expect("our own descriptors can be read"),
    );
    routes.add_service(
        reflection(SERVICE_NAME)
            .build_v1alpha()
            .expect("our own descriptors can be read"),
    );
    routes.routes()
}

/// Only the services that are there: the contract has more than one port serves.
fn reflection(service: &'static str) -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(service)
        .with_service_name("grpc.health.v1.Health")
        .with_service_name("grpc.reflection.v1.ServerReflection")
        .with_service_name("grpc.reflection.v1alpha.ServerReflection")
}
