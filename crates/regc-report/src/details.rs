//! What each image consists of.

use regc_core::inspect::catalog::Tree;
use regc_core::inspect::overview::Overview;
use regc_core::registry::image::{Part, Step};
use regc_core::{Algorithm, Digest};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use serde::Serialize;

use crate::columns::{Texts, parsed_seconds};

/// What each image consists of, in columns. An image that several repositories have is in them several times.
#[derive(Serialize)]
pub struct Details {
    strings: Vec<String>,
    images: Images,
    blobs: Blobs,
}

#[derive(Default, Serialize)]
struct Images {
    repository: Vec<u32>,
    /// The SHA-256 digests without their prefix, one after the other; zeros for others.
    digest: String,
    other_digests: HashMap<usize, Digest>,
    kind: Vec<u8>,
    bytes: Vec<Option<u64>>,
    created: Vec<Option<i64>>,
    platforms: Vec<Vec<u32>>,
    config: Vec<Option<u32>>,
    layers: Vec<Vec<u32>>,
    children: Vec<Vec<u32>>,
    referrers: Vec<Vec<u32>>,
    history: Vec<Option<Vec<NumberedStep>>>,
}

/// A step of a history: the number of its command, that of the layer that it added, and when.
type NumberedStep = (u32, Option<u32>, Option<i64>);

#[derive(Default, Serialize)]
struct Blobs {
    /// The first 16 digits of the digests, one after the other.
    digest: String,
    bytes: Vec<u64>,
    images: Vec<u32>,
    repositories: Vec<u32>,
}

/// The numbers of images, for each repository by digest.
pub type ImageNumbers = Vec<HashMap<Digest, u32>>;

/// How many digits of a blob's digest are shown.
const DIGITS: usize = 16;

/// Returns the details of the images in the first repositories, and the numbers of the images.
pub fn details(overview: &Overview<'_>, repositories: usize) -> (Details, ImageNumbers) {
    let users = users(overview);
    let shown = &overview.repositories[..repositories];
    let mut numbers = ImageNumbers::with_capacity(shown.len());
    let mut next = 0..;
    for repository in shown {
        numbers.push(repository.listing.trees.keys().copied().zip(&mut next).collect());
    }
    let (mut strings, mut images) = (Texts::default(), Images::default());
    let (mut blobs, mut blob_numbers) = (Blobs::default(), HashMap::default());
    let mut blob = |part: &Part| {
        *blob_numbers.entry(part.digest).or_insert_with(|| {
            let Users { images, repositories } = users[&part.digest];
            blobs.digest.extend(part.digest.hex().chars().take(DIGITS));
            blobs.bytes.push(part.bytes);
            blobs.images.push(images);
            blobs.repositories.push(repositories);
            blobs.bytes.len() as u32 - 1
        })
    };
    for (repository, (overview, numbers)) in shown.iter().zip(&numbers).enumerate() {
        let number = |digest: &Digest| numbers.get(digest).copied();
        for (digest, Tree { image, children, referrers, config, layers, history, .. }) in &overview.listing.trees {
            images.repository.push(repository as u32);
            match digest.algorithm() {
                Algorithm::Sha256 => images.digest += &digest.hex(),
                _ => {
                    images.digest += &"0".repeat(64);
                    images.other_digests.insert(images.kind.len(), *digest);
                }
            }
            images.kind.push(image.kind as u8);
            images.bytes.push(image.bytes);
            images.created.push(parsed_seconds(image.created.as_deref()));
            images.platforms.push(image.platforms.iter().map(|platform| strings.number(platform)).collect());
            images.config.push(config.as_ref().map(&mut blob));
            images.layers.push(layers.iter().map(&mut blob).collect());
            images.children.push(children.iter().filter_map(number).collect());
            images.referrers.push(referrers.iter().filter_map(number).collect());
            images.history.push((!history.is_empty()).then(|| steps(history, layers.len(), &mut strings)));
        }
    }
    (Details { strings: strings.into_texts(), images, blobs }, numbers)
}

/// Returns the steps of the history of an image with so many layers.
fn steps(history: &[Step], layers: usize, strings: &mut Texts) -> Vec<NumberedStep> {
    let mut next_layer = 0..layers as u32;
    let step = |step: &Step| {
        let layer = if step.empty_layer { None } else { next_layer.next() };
        let command = strings.number(step.created_by.as_deref().unwrap_or_default());
        (command, layer, parsed_seconds(step.created.as_deref()))
    };
    history.iter().map(step).collect()
}

/// How many images and repositories refer to a blob.
#[derive(Clone, Copy, Default)]
struct Users {
    images: u32,
    repositories: u32,
}

/// Counts the users of each blob, in all repositories.
fn users(overview: &Overview<'_>) -> HashMap<Digest, Users> {
    let mut users: HashMap<Digest, Users> = HashMap::default();
    let mut counted = HashSet::default();
    for repository in &overview.repositories {
        let mut here = HashSet::default();
        for (digest, Tree { config, layers, .. }) in &repository.listing.trees {
            let parts: HashSet<Digest> = config.iter().chain(layers).map(|part| part.digest).collect();
            let is_new = counted.insert(*digest);
            for part in parts {
                let users = users.entry(part).or_default();
                users.images += u32::from(is_new);
                users.repositories += u32::from(here.insert(part));
            }
        }
    }
    users
}
