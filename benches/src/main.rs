mod store;
use clap::Parser;
#[derive(Parser)]
struct Args {
    dir: std::path::PathBuf,
    #[command(flatten)]
    shape: store::Shape,
}
fn main() {
    let a = Args::parse();
    store::write(&a.dir, &a.shape).unwrap();
}
