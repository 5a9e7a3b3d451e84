//!     cargo run -p regc-example-axum -- /etc/docker/registry/config.yml 127.0.0.1:5000

use std::error::Error;

use regc_core::Config;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("give the path of the registry's config.yml, and the address to listen at".into());
    };
    let config = Config::from_file(path, std::env::vars())?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, regc_example_axum::routes(config)).await?;
    Ok(())
}
