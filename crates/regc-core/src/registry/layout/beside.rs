//! What registries and copies put beside the layout that all registries share.

use super::{DATA, Holds, LINK, repository};

/// The directories in a repository in which the registry of the ORAS project links the referrers of each manifest.
///
/// Source: `registry/extension/oras/artifactmanifesthandler.go` of oras-project/distribution 1.0.0-rc.1 and rc.2, and
/// `registry/storage/paths.go` of rc.3 and rc.4.
pub const REFERRERS: [&str; 2] = ["_refs", "_referrers"];

/// The directories of a repository's links to referrers.
pub fn referrers(name: &str) -> [String; 2] {
    REFERRERS.map(|part| format!("{}/{part}", repository(name)))
}

/// The only directory in such a directory: it holds all links.
pub(super) const SUBJECTS: &str = "subjects";

/// Whether a path relative to a repository is inside its links to referrers.
pub(super) fn is_referrers(below: &str) -> bool {
    below.split_once('/').is_some_and(|(part, rest)| {
        REFERRERS.contains(&part) && rest.split_once('/').is_some_and(|(subjects, _)| subjects == SUBJECTS)
    })
}

/// Whether the directory at this path, relative to that of all repositories, holds links to referrers by the
/// algorithm of their subjects' digests.
pub(crate) fn holds_referrers(name: &str) -> bool {
    let mut components = name.rsplit('/');
    let is_inside =
        components.next() == Some(SUBJECTS) && components.next().is_some_and(|part| REFERRERS.contains(&part));
    is_inside && components.next().is_some()
}

/// Whether a key is that of a remnant: a file that an interrupted copy, or a registry that was killed, left beside
/// content or a link.
pub fn is_remnant(key: &str) -> bool {
    let Some((directory, name)) = key.rsplit_once('/') else { return false };
    match Holds::of(directory) {
        Some(Holds::Content) => is_remnant_of(DATA, name),
        Some(Holds::Link | Holds::Revision) => is_remnant_of(LINK, name),
        _ => false,
    }
}

/// Whether a file of this name is an unfinished copy of `file`: `.data.Xy12Za` of rsync, `data.part`, `data.partial`
/// and `data.filepart` of other programs, and `data.<uuid>.tmp` of registry 3.1.
///
/// Source: `PutContent` in `registry/storage/driver/filesystem/driver.go` of distribution 3.1; 2.8 and 3.0 write in
/// place.
pub(crate) fn is_remnant_of(file: &str, name: &str) -> bool {
    let after_name = |name: &str| name.strip_prefix(file).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned);
    if let Some(random) = name.strip_prefix('.').and_then(after_name) {
        return random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    }
    let Some(suffix) = after_name(name) else { return false };
    matches!(&*suffix, "part" | "partial" | "filepart") || suffix.strip_suffix(".tmp").is_some_and(is_uuid)
}

fn is_uuid(text: &str) -> bool {
    let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let parts = text.split('-').map(|part| if part.bytes().all(is_lower_hex) { part.len() } else { 0 });
    parts.eq([8, 4, 4, 4, 12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Algorithm, Digest};
    use crate::registry::layout::{Location, REPOSITORIES, blob, layer, revision, subject, tag, tag_index};

    #[test]
    fn only_known_names_are_those_of_remnants() {
        let uuid = "6d1c5e0b-0000-4000-8000-00000000abcd";
        for known in [".data.Xy12Za", "data.part", "data.partial", "data.filepart", &format!("data.{uuid}.tmp")] {
            assert!(is_remnant_of(DATA, known), "{known}");
            assert!(!is_remnant_of(LINK, known) && is_remnant_of(LINK, &known.replace("data", "link")), "{known}");
        }
        for other in [
            "data",
            ".data.Xy12Z",
            ".data.Xy12Z.",
            ".data.Xy12Zab",
            "data.Xy12Za",
            ".data.part",
            "data.tmp",
            "data.bak",
            "data.part.part",
            "xdata.part",
            &format!("data.{uuid}"),
            &format!("data.{}.tmp", uuid.to_uppercase()),
            &format!("data.{}.tmp", uuid.replace('-', "")),
        ] {
            assert!(!is_remnant_of(DATA, other), "{other}");
        }
    }

    #[test]
    fn remnants_lie_beside_content_and_links() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        let index = format!("{}/sha256/{}", tag_index("app", "v1"), digest.hex());
        for directory in [layer("team/app", &digest), revision("app", &digest), tag("app", "v1") + "/current", index] {
            assert!(is_remnant(&format!("{directory}/.link.Xy12Za")), "{directory}");
            assert!(!is_remnant(&format!("{directory}/.data.Xy12Za")), "{directory}");
        }
        assert!(is_remnant(&format!("{}/.data.Xy12Za", blob(&digest))));
        for elsewhere in
            [format!("{}/.link.Xy12Za", tag("app", "v1")), ".data.Xy12Za".into(), format!("{REPOSITORIES}/link.part")]
        {
            assert!(!is_remnant(&elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn links_to_referrers_have_one_form() {
        let [subject_digest, referrer] =
            [b"subject" as &[u8], b"referrer"].map(|text| Digest::of(Algorithm::Sha256, text));
        let repository = "team/app";
        for (directory, all) in REFERRERS.into_iter().zip(referrers(repository)) {
            let below = format!("subjects/sha256/{}/sha256/{}", subject_digest.hex(), referrer.hex());
            let link = format!("{all}/{below}/link");
            let location = Location::ReferrerLink { repository, directory, subject: subject_digest, referrer };
            assert_eq!(Location::parse(&link), Some(location));
            let about = subject(&link);
            assert_eq!((about.repository.as_deref(), about.digest), (Some("team/app"), Some(referrer)));
            for other in [
                format!("{all}/{below}/data"),
                format!("{all}/{below}/link/link"),
                format!("{all}/subjects/sha256/{}/link", referrer.hex()),
                format!("{all}/subjects/sha256/{}/sha256/short/link", referrer.hex()),
                link.replace("/_", "/x_"),
                link.replace(REPOSITORIES, "elsewhere"),
            ] {
                assert_eq!(Location::parse(&other), None, "{other}");
            }
        }
        assert!(holds_referrers("team/app/_refs/subjects") && holds_referrers("app/_referrers/subjects"));
        assert!(!holds_referrers("_refs/subjects") && !holds_referrers("app/x_refs/subjects"));
    }
}
