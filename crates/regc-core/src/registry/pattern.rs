//! Patterns that name what is in a registry: `team/app`, `team/*:v1*`, `team/app@sha256:…`.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use crate::digest::Digest;
use crate::error::Error;

/// A glob for repositories, with an optional glob for their tags or the digest of a manifest.
///
/// `*` matches anything in one component of a name, `**` any number of components; `?`, `[ab]` and `{one,other}` are
/// supported as well.
///
/// ```
/// use regc_core::registry::pattern::Pattern;
///
/// # fn main() -> Result<(), regc_core::Error> {
/// let pattern = Pattern::parse("team/*:v1.*")?;
/// assert!(pattern.matches_tag("team/app", "v1.2") && !pattern.matches_tag("team/app/worker", "v1.2"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    repository: Glob,
    part: Part,
}

/// A glob on one name.
#[derive(Clone, Debug)]
pub struct Glob(GlobMatcher);

impl Glob {
    /// Whether it matches a name.
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// Which part of a repository a pattern names.
#[derive(Clone, Debug)]
pub enum Part {
    /// All of it.
    All,
    /// The tags that match.
    Tags(Glob),
    /// One manifest.
    Manifest(Digest),
}

impl Pattern {
    /// Reads a pattern: `repository`, `repository:tag` or `repository@digest`.
    ///
    /// Fails with [`Error::Pattern`] if a glob or the digest is malformed.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // No name has such a character, so the pattern would match nothing: YAML or a shell may leave a line end.
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Error::Pattern(format!("{text:?} contains a character that names cannot contain")));
        }
        let glob = |glob: &str| {
            let built = GlobBuilder::new(glob).literal_separator(true).build();
            let built = built.map_err(|error| Error::Pattern(error.to_string()))?;
            if glob.is_empty() { Err(Error::Pattern(format!("{text:?}"))) } else { Ok(Glob(built.compile_matcher())) }
        };
        let (repository, part) = if let Some((repository, digest)) = text.split_once('@') {
            let digest =
                digest.parse().map_err(|_| Error::Pattern(format!("{digest:?} in {text:?} is not a digest")))?;
            (repository, Part::Manifest(digest))
        } else if let Some((repository, tag)) = text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            // Before another component, it is the port of a host: `localhost:5000/app`.
            (repository, Part::Tags(glob(tag)?))
        } else {
            (text, Part::All)
        };
        Ok(Self { text: text.to_owned(), repository: glob(repository)?, part })
    }

    /// Whether it matches a repository's name.
    pub fn matches_repository(&self, repository: &str) -> bool {
        self.repository.is_match(repository)
    }

    /// Whether it matches a tag, by its own glob or because it names the whole repository.
    pub fn matches_tag(&self, repository: &str, tag: &str) -> bool {
        let is_tag = match &self.part {
            Part::All => true,
            Part::Tags(glob) => glob.is_match(tag),
            Part::Manifest(_) => false,
        };
        is_tag && self.matches_repository(repository)
    }

    /// Whether it certainly matches every repository that `other` matches. `false` if that is not simple to tell.
    #[cfg(feature = "retention")]
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let is_name = |text: &str| !text.contains(['*', '?', '[', ']', '{', '}', '\\']);
        let is_below = |prefix: &str| {
            let below = other.text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
            is_name(prefix) && below.is_some_and(|below| !below.is_empty())
        };
        self.text == "**"
            || self.text == other.text
            || is_name(&other.text) && self.matches_repository(&other.text)
            || self.text.strip_suffix("/**").is_some_and(is_below)
    }

    /// Which part of a repository it names.
    pub fn part(&self) -> &Part {
        &self.part
    }
}

/// Reads a pattern that can only name whole repositories.
///
/// Fails with [`Error::Pattern`] if it is malformed, or names a tag or a manifest.
pub fn repository(text: &str) -> Result<Pattern, Error> {
    let pattern = Pattern::parse(text)?;
    match pattern.part {
        Part::All => Ok(pattern),
        _ => Err(Error::Pattern(format!("{text:?}: only repositories can be named here"))),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_component() {
        let matches = |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().matches_repository(name);
        for (pattern, name) in
            [("app", "app"), ("team/*", "team/app"), ("**", "a/b/c"), ("**/app", "app"), ("a*", "ab")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("app", "team/app"), ("team/*", "team/a/b"), ("team/*", "team"), ("*", "a/b")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_select_repositories_tags_or_a_manifest() {
        let pattern = |text: &str| Pattern::parse(text).unwrap();
        assert!(pattern("app:v*").matches_tag("app", "v1") && !pattern("app:v*").matches_tag("app", "latest"));
        assert!(pattern("app").matches_tag("app", "v1"));
        let mirror = pattern("localhost:5000/*");
        assert!(matches!(mirror.part(), Part::All) && mirror.matches_repository("localhost:5000/app"));
        assert!(pattern("localhost:5000/app:v1").matches_tag("localhost:5000/app", "v1"));
        let digest = format!("sha256:{}", "0".repeat(64));
        let one = pattern(&format!("app@{digest}"));
        assert!(matches!(one.part(), Part::Manifest(named) if named.to_string() == digest));
        assert!(!one.matches_tag("app", "v1") && one.matches_repository("app"));
        for wrong in ["", ":v1", "app:", "app[", "app@", "app@sha256:12", "app:v1@latest", "app\n", "a b"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
