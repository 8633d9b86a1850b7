//! How the exporters send.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

use super::PATIENCE;
use crate::checks;
use crate::upstream::Upstream;

/// The gateway's own HTTP client, for the exporters, whose threads are not the runtime's.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) runtime: Handle,
    pub(super) upstream: Arc<Upstream>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let upstream = Arc::clone(&self.upstream);
        let asked = self.runtime.spawn(async move {
            let answer = checks::ask(request.map(Some), &upstream);
            tokio::time::timeout(PATIENCE, answer).await
        });
        let (status, headers, body) = asked.await??.map_err(HttpError::from)?;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
