//! Secrets that a build mounts.

use std::collections::HashMap;

use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use tonic::{Request, Response, Status};

/// Values of secrets by id.
pub(super) struct Secrets(pub(super) HashMap<String, Vec<u8>>);

#[tonic::async_trait]
impl bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::Secrets for Secrets {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let value = self.0.get(&id).ok_or_else(|| Status::not_found(format!("secret {id}: not found")))?;
        Ok(Response::new(GetSecretResponse { data: value.clone() }))
    }
}
