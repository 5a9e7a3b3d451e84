//! A registry's server with its own garbage collection: `POST /collect` makes it read-only, collects, and lets it go on.
//!
//! What a registry serves is left out but for one route that stands for pushes. What matters is the order: no push is under way
//! when the session begins, and none begins before it has ended. The collection is work that blocks, so it has a thread of its own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{post, put};
use regc_core::{CollectOptions, Config, Disposal, Error, Holder, Silent, Store};
use tokio::sync::RwLock;
use tokio::task::spawn_blocking;

/// What the server knows.
pub struct Server {
    config: Config,
    /// Held for reading by each push, and for writing by a collection.
    pushes: RwLock<()>,
}

/// The routes of the server for a store.
pub fn routes(config: Config) -> Router {
    let server = Arc::new(Server { config, pushes: RwLock::new(()) });
    Router::new().route("/v2/{*path}", put(push)).route("/collect", post(collect)).with_state(server)
}

/// Stands for all that a client pushes.
async fn push(State(server): State<Arc<Server>>) -> StatusCode {
    match server.pushes.try_read() {
        Ok(_pushing) => StatusCode::CREATED,
        Err(_) => StatusCode::METHOD_NOT_ALLOWED,
    }
}

async fn collect(State(server): State<Arc<Server>>) -> Result<String, (StatusCode, String)> {
    let fail = |error: String| (StatusCode::INTERNAL_SERVER_ERROR, error);
    // Waits for the pushes that are under way, and refuses those that come.
    let _read_only = server.pushes.write().await;
    let config = server.config.clone();
    let collected = spawn_blocking(move || collect_in(&config)).await.map_err(|error| fail(error.to_string()))?;
    collected.map_err(|error| fail(error.to_string()))
}

fn collect_in(config: &Config) -> Result<String, Error> {
    let store = Store::open(config)?;
    // This process is the registry, and takes no push now: it need not ask itself.
    let session = store.lock_live(&Holder::new("registry"))?;
    let plan = session.plan(&CollectOptions::new(), &Silent)?;
    let outcome = session.execute(&plan, Disposal::Trash, &Silent)?;
    Ok(format!("{} blobs, {} bytes\n", outcome.removed.blobs, outcome.removed.bytes))
}
