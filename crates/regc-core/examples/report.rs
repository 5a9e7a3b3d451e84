//! Reports what a collection would free, by repository, and changes nothing.
//!
//!     cargo run -p regc-core --example report -- /etc/docker/registry/config.yml

use std::error::Error;

use regc_core::{CollectOptions, Config, Silent, Store};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give the path of the registry's config.yml")?;
    let store = Store::open(&Config::from_file(path, std::env::vars())?)?;
    let plan = store.plan(&CollectOptions::new(), &Silent)?;
    let (repositories, unlinked) = plan.shares();
    for of in repositories {
        println!("{:>12}  {}", of.totals.bytes, of.repository);
    }
    println!("{:>12}  linked by no repository", unlinked.bytes);
    println!("{:>12}  in all, in {} blobs", plan.totals().bytes, plan.totals().blobs);
    Ok(())
}
