//! Deletes untagged manifests, except for those that run in a cluster: their digests are read from standard input,
//! one per line.
//!
//!     kubectl get pods -A -o jsonpath='{..imageID}' | tr ' ' '\n' | sed 's/.*@//' |
//!         cargo run -p regc-core --example keep_running -- /etc/docker/registry/config.yml

use std::error::Error;
use std::io::stdin;

use regc_core::{CollectOptions, Config, Digest, Disposal, Holder, Silent, Store};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give the path of the registry's config.yml")?;
    let mut running = Vec::new();
    for line in stdin().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            running.push(line.trim().parse::<Digest>()?);
        }
    }
    if running.is_empty() {
        // A broken pipe must not look like a cluster in which nothing runs.
        return Err("no digest is given".into());
    }
    let store = Store::open(&Config::from_file(path, std::env::vars())?)?;
    let session = store.lock(&Holder::new("keep-running"))?;
    let options = CollectOptions::new().delete_untagged(true).also_root(running);
    let plan = session.plan(&options, &Silent)?;
    if let Some(refusal) = plan.unconfirmed() {
        return Err(format!("{refusal}; nothing was deleted").into());
    }
    let outcome = session.execute(&plan, Disposal::Delete, &Silent)?;
    println!("{} bytes freed in {} blobs", outcome.removed.bytes, outcome.removed.blobs);
    Ok(())
}
