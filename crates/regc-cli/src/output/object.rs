//! What the files of a store are called: `tag v1`, `layer link`, `blob`.

use std::cmp::Ordering;

use regc_core::registry::layout::{self, Location};

use super::natural;

/// Returns what a file is, without its repository and digest; the end of its path if it is no file of a registry.
pub fn name(path: &str) -> String {
    match Location::parse(path) {
        Some(Location::Blob { .. }) => "blob".to_owned(),
        Some(Location::LayerLink { .. }) => "layer link".to_owned(),
        Some(Location::RevisionLink { .. }) => "manifest".to_owned(),
        Some(Location::SignatureLink { .. }) => "signature".to_owned(),
        Some(Location::TagLink { tag, .. }) => format!("tag {tag}"),
        Some(Location::TagIndexEntry { tag, .. }) => format!("tag index entry {tag}"),
        Some(Location::UploadFile { upload, file, .. }) => format!("upload {upload}/{file}"),
        Some(Location::ReferrerLink { .. }) => "link to a referrer".to_owned(),
        None => {
            let top =
                layout::subject(path).repository.map_or(layout::BLOBS.to_owned(), |name| layout::repository(&name));
            let below = path.strip_prefix(&top).map_or(path, |below| below.trim_start_matches('/'));
            format!("file {below}")
        }
    }
}

/// Orders files as images are built: tags, manifests, layers, and then the rest; tags by their numbers.
pub fn compare(one: &str, other: &str) -> Ordering {
    let rank = |path: &str| match Location::parse(path) {
        Some(Location::TagLink { .. }) => 0,
        Some(Location::TagIndexEntry { .. }) => 1,
        Some(Location::RevisionLink { .. }) => 2,
        Some(Location::SignatureLink { .. }) => 3,
        Some(Location::LayerLink { .. }) => 4,
        Some(Location::Blob { .. }) => 5,
        Some(Location::UploadFile { .. }) => 6,
        Some(Location::ReferrerLink { .. }) => 7,
        None => 8,
    };
    let by_name = || natural::compare(&name(one), &name(other));
    rank(one).cmp(&rank(other)).then_with(by_name).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use regc_core::Digest;
    use regc_core::registry::layout;

    use super::*;

    #[test]
    fn files_are_called_what_they_are() {
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        for (path, called) in [
            (layout::blob_data(&digest), "blob"),
            (layout::layer_link("team/app", &digest), "layer link"),
            (layout::revision_link("team/app", &digest), "manifest"),
            (layout::signature_link("team/app", &digest, &digest), "signature"),
            (layout::tag_link("team/app", "v1"), "tag v1"),
            (layout::tag_index_link("team/app", "v1", &digest), "tag index entry v1"),
            (layout::upload_file("team/app", "0b2b", "data"), "upload 0b2b/data"),
            (format!("{}/_layers/.link.Xy12Za", layout::repository("team/app")), "file _layers/.link.Xy12Za"),
            (format!("{}/sha256/README", layout::BLOBS), "file sha256/README"),
        ] {
            assert_eq!(name(&path), called, "{path}");
        }
    }

    #[test]
    fn tags_come_first_and_by_their_numbers() {
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let sorted = [
            layout::tag_link("app", "v2"),
            layout::tag_link("app", "v10"),
            layout::revision_link("app", &digest),
            layout::layer_link("app", &digest),
        ];
        assert!(sorted.is_sorted_by(|one, other| compare(one, other).is_lt()));
    }
}
