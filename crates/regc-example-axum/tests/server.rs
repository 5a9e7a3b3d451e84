//! The server as a client sees it.

use std::net::TcpListener;

use regc_core::Config;
use regc_core::registry::layout;
use regc_testkit::{TestRegistry, layer};

#[test]
fn the_server_collects_and_takes_pushes_again() {
    let mut registry = TestRegistry::new();
    let deleted = registry.image("app:v1").layers(["deleted"]).push();
    registry.delete("app", &deleted);
    registry.image("app:v2").layers(["kept"]).push();
    let root = registry.on_disk();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config::at_root(root.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, regc_example_axum::routes(config)).await.unwrap();
    });
    let push = || ureq::put(format!("http://{address}/v2/app/manifests/v3")).send_empty().unwrap().status();
    assert_eq!(push(), 201);
    let collected = ureq::post(format!("http://{address}/collect")).send_empty().unwrap();
    let collected = collected.into_body().read_to_string().unwrap();
    assert!(collected.starts_with("3 blobs, "), "{collected}");
    assert!(!root.path().join(layout::blob_data(&layer("deleted"))).exists());
    assert!(root.path().join(layout::blob_data(&layer("kept"))).exists());
    assert_eq!(push(), 201);
}
