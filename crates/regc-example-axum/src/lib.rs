//! A registry's server with its own garbage collection: `POST /collect` makes it read-only, collects, and makes it
//! writable again.
//!
//! The registry's API is left out, except for one route that stands for pushes. The order matters: no push is in
//! progress when the session begins, and none begins before it has ended. The collection blocks, so it runs on a
//! thread of its own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{post, put};
use regc_core::{CollectOptions, Config, Disposal, Error, Holder, Silent, Store};
use tokio::sync::RwLock;
use tokio::task::spawn_blocking;

/// The state of the server.
pub struct Server {
    config: Config,
    /// Held for reading by each push, and for writing by a collection.
    pushes: RwLock<()>,
}

/// Returns the routes of the server for a store.
pub fn routes(config: Config) -> Router {
    let server = Arc::new(Server { config, pushes: RwLock::new(()) });
    Router::new().route("/v2/{*path}", put(push)).route("/collect", post(collect)).with_state(server)
}

/// Stands for all requests of a push.
async fn push(State(server): State<Arc<Server>>) -> StatusCode {
    match server.pushes.try_read() {
        Ok(_pushing) => StatusCode::CREATED,
        Err(_) => StatusCode::METHOD_NOT_ALLOWED,
    }
}

async fn collect(State(server): State<Arc<Server>>) -> Result<String, (StatusCode, String)> {
    let fail = |error: String| (StatusCode::INTERNAL_SERVER_ERROR, error);
    // Waits for the pushes in progress, while new ones are refused.
    let _read_only = server.pushes.write().await;
    let config = server.config.clone();
    let collected = spawn_blocking(move || collect_in(&config)).await.map_err(|error| fail(error.to_string()))?;
    collected.map_err(|error| fail(error.to_string()))
}

fn collect_in(config: &Config) -> Result<String, Error> {
    let store = Store::open(config)?;
    // This process is the registry, and takes no push now: it does not need to probe itself.
    let session = store.lock_live(&Holder::new("registry"))?;
    let plan = session.plan(&CollectOptions::new(), &Silent)?;
    let outcome = session.execute(&plan, Disposal::Trash, &Silent)?;
    Ok(format!("{} blobs, {} bytes\n", outcome.removed.blobs, outcome.removed.bytes))
}
