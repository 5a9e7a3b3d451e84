//! What an image consists of, as a listing reports it.

use regc_core::Silent;
use regc_core::inspect::catalog::{ListOptions, catalog};
use regc_testkit::{TestRegistry, layer};

use crate::DIRECTORIES;

#[test]
fn trees_list_config_and_layers_of_each_image_in_its_order() {
    let mut registry = TestRegistry::new();
    let image = registry.image("app:v1").layers(["base", "top", "base"]).push();
    let storage = registry.in_memory(DIRECTORIES);
    let trees = |options: ListOptions| catalog(&storage, |_| true, options, 4, &Silent).unwrap().remove(0).trees;
    let tree = &trees(ListOptions::new().images(true).trees(true).layers(true))[&image];
    let layers: Vec<_> = tree.layers.iter().map(|layer| layer.digest).collect();
    assert_eq!(layers, [layer("base"), layer("top"), layer("base")]);
    assert!(tree.config.is_some());
    let tree = &trees(ListOptions::new().images(true).trees(true))[&image];
    assert!(tree.layers.is_empty() && tree.config.is_none());
}
