//! Why a policy file cannot be used, with an example of the right form.

use std::fmt;

/// A short policy.
const POLICY: &str = "{version: 1, rules: [{repositories: 'team/**', keep: 10}]}";

/// An example of each key.
const EXAMPLES: [(&str, &str); 15] = [
    ("version", "version: 1"),
    ("defaults", "defaults: {keep: 10}"),
    ("rules", "rules: [{repositories: 'team/**', keep: 10}]"),
    ("repositories", "repositories: ['team/**', tools/cli]"),
    ("keep", "keep: 10"),
    ("keep-within", "keep-within: 30d"),
    ("keep-hourly", "keep-hourly: 24"),
    ("keep-daily", "keep-daily: 7"),
    ("keep-weekly", "keep-weekly: 4"),
    ("keep-monthly", "keep-monthly: 12"),
    ("keep-yearly", "keep-yearly: all"),
    ("keep-tag", "keep-tag: [^latest$, ^v]"),
    ("only-tag", "only-tag: ^pr-"),
    ("by", "by: created"),
    ("orphans", "orphans: 30d"),
];

/// Why a policy file cannot be used. `Display` is one line: `line 5, column 16: rule 2, keep-within: …; for example …`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyError {
    /// The line, counted from 1, if the error has one.
    pub line: Option<usize>,
    /// The column in that line, counted from 1.
    pub column: Option<usize>,
    /// The number of the rule, counted from 1, if it is in one.
    pub rule: Option<usize>,
    /// What is wrong, after the key that it is about.
    pub message: String,
    /// An example of the right form: the key with a value, or a policy.
    pub example: &'static str,
}

impl PolicyError {
    /// Returns the error for a text that is no policy, as the parser reports it: `rules[1].keep-tag: … at line 7 column
    /// 5`.
    pub(super) fn of_parser(error: &serde_yaml::Error) -> Self {
        let text = error.to_string();
        let location = error.location();
        let place = location.as_ref().map(|at| format!(" at line {} column {}", at.line(), at.column()));
        let text = place.as_deref().and_then(|place| text.strip_suffix(place)).unwrap_or(&text);
        let in_rule = || {
            let (index, rest) = text.strip_prefix("rules[")?.split_once(']')?;
            let rest = rest.strip_prefix('.').or_else(|| rest.strip_prefix(": "))?;
            Some((index.parse::<usize>().ok()? + 1, rest))
        };
        let (rule, message) = match in_rule() {
            Some((rule, message)) => (Some(rule), message),
            None => (None, text),
        };
        Self {
            line: location.as_ref().map(serde_yaml::Location::line),
            column: location.as_ref().map(serde_yaml::Location::column),
            rule,
            message: message.to_owned(),
            example: example(message),
        }
    }

    /// Returns the error for a rule that does not say what it keeps.
    pub(super) fn of_rule(rule: usize, message: String) -> Self {
        Self { line: None, column: None, rule: Some(rule), message, example: of_key("keep").unwrap_or(POLICY) }
    }
}

impl std::error::Error for PolicyError {}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, rule, message, example } = self;
        if let Some((line, column)) = line.zip(*column) {
            write!(f, "line {line}, column {column}: ")?;
        }
        match rule {
            Some(rule) if starts_with_key(message) => write!(f, "rule {rule}, ")?,
            Some(rule) => write!(f, "rule {rule}: ")?,
            None => {}
        }
        write!(f, "{message}; for example `{example}`")
    }
}

/// Whether a message begins with the key that it is about: `keep-tag[1]: …`.
fn starts_with_key(message: &str) -> bool {
    key(message).is_some()
}

/// Returns the key that a message begins with: `keep` of `defaults.keep: …`.
fn key(message: &str) -> Option<&str> {
    let (path, _) = message.split_once(": ")?;
    let key = path.rsplit('.').next().unwrap_or(path).split('[').next()?;
    of_key(key).map(|_| key)
}

fn of_key(key: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(name, _)| *name == key).map(|(_, example)| *example)
}

/// Returns the example for the key that a message is about; for an unknown key, of the one that it is most similar to.
fn example(message: &str) -> &'static str {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let named = if message.contains("unknown field `") {
        let unknown = quoted.next().unwrap_or_default();
        let distances = quoted.map(|known| (distance(unknown, known), known));
        distances.min().filter(|(distance, _)| *distance <= 2).map(|(_, known)| known)
    } else if message.contains("missing field `") || message.contains("duplicate field `") {
        quoted.next()
    } else {
        key(message).filter(|key| !["rules", "defaults"].contains(key))
    };
    named.and_then(of_key).unwrap_or(POLICY)
}

/// Returns how many characters must be inserted, deleted or replaced to make one text the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, c) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, d) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(c != *d);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Policy;

    fn error(text: &str) -> PolicyError {
        Policy::check(text).err().unwrap_or_else(|| panic!("accepted: {text}"))
    }

    fn in_rule(text: &str) -> PolicyError {
        error(&format!("version: 1\nrules:\n- {{repositories: a, keep: all}}\n- repositories: a\n  {text}"))
    }

    #[test]
    fn an_error_shows_the_right_form_of_its_key() {
        for (text, example) in [
            ("keep: ten", "keep: 10"),
            ("keep-within: 30", "keep-within: 30d"),
            ("keep-daily: 7d", "keep-daily: 7"),
            ("keep-tag: (", "keep-tag: [^latest$, ^v]"),
            ("only-tag: [a, '']", "only-tag: ^pr-"),
            ("by: age", "by: created"),
            ("keep: 1\n  keep: 2", "keep: 10"),
            ("keep_daily: 7", "keep-daily: 7"),
            ("kep-within: 7d", "keep-within: 30d"),
            ("retain: 7", POLICY),
            ("by: name", "keep: 10"),
        ] {
            let error = in_rule(text);
            assert_eq!((error.rule, error.example), (Some(2), example), "{text}: {error}");
        }
        for (text, example) in [
            ("", "version: 1"),
            ("version: 2\nrules: []", "version: 1"),
            ("version: 1", "rules: [{repositories: 'team/**', keep: 10}]"),
            ("version: 1\nrules: [keep: 1]", "repositories: ['team/**', tools/cli]"),
            ("version: 1\nrules: {}", POLICY),
            ("version: 1\nrules: ]", POLICY),
            ("version: 1\nrules: [a]", POLICY),
            ("version: 1\nrules: []\ndefaults: {keep: -1}", "keep: 10"),
            ("version: 1\nrules: []\ndefaults: {repositories: a}", POLICY),
        ] {
            assert_eq!(error(text).example, example, "{text}");
        }
    }

    #[test]
    fn an_error_has_its_place() {
        let error = in_rule("keep-within: 30");
        assert_eq!((error.line, error.column), (Some(5), Some(16)));
        assert_eq!(
            error.to_string(),
            "line 5, column 16: rule 2, keep-within: invalid type: integer `30`, expected a duration; for example \
             `keep-within: 30d`"
        );
        let error = in_rule("by: name").to_string();
        assert!(
            error.starts_with("rule 2: what to keep is not set") && error.ends_with("; for example `keep: 10`"),
            "{error}"
        );
    }

    #[test]
    fn the_examples_are_right() {
        assert!(Policy::check(POLICY).is_ok());
        for (key, example) in EXAMPLES {
            let text = match key {
                "version" | "rules" | "defaults" => {
                    let others = ["version: 1", "rules: []", "defaults: {}"];
                    let others = others.into_iter().filter(|other| !other.starts_with(key));
                    others.chain([example]).collect::<Vec<_>>().join("\n")
                }
                "repositories" => format!("version: 1\nrules: [{{keep: 1, {example}}}]"),
                "keep" => format!("version: 1\nrules: [{{repositories: a, {example}}}]"),
                _ => format!("version: 1\nrules: [{{repositories: a, keep: 1, {example}}}]"),
            };
            assert!(example.starts_with(&format!("{key}: ")), "{example}");
            assert!(Policy::check(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn distances_count_changes() {
        for (one, other, expected) in
            [("", "", 0), ("keep", "keep", 0), ("kep", "keep", 1), ("keep_daily", "keep-daily", 1), ("by", "", 2)]
        {
            assert_eq!((distance(one, other), distance(other, one)), (expected, expected), "{one} {other}");
        }
    }
}
