//! Joins the scripts of the page in the order that `page/order.txt` gives.

use std::path::Path;
use std::{env, fs};

fn main() {
    let page = Path::new("page");
    println!("cargo::rerun-if-changed=page");
    let read = |name: &str| fs::read_to_string(page.join(name)).unwrap_or_else(|error| panic!("page/{name}: {error}"));
    let order = read("order.txt");
    let script: String = order.lines().filter(|name| !name.is_empty()).map(read).collect();
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("script.js"), script).expect("OUT_DIR can be written");
}
