//! The policy file: which rule applies to which repositories.
//!
//! A deletion is final, so nothing is guessed: unknown keys, invalid values, and rules that do not say what to keep are
//! refused. Nothing is deleted from a repository without a rule.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::calendar::{Calendar, Period};
use super::order::Order;
use super::policy_error::PolicyError;
use super::rule::{Keep, PartialRule, Rule, TagRegex};
use super::yaml;
use crate::error::Error;
use crate::registry::pattern::Pattern;

/// Rules for the repositories of a registry.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<PolicyRule>,
}

/// A rule, and the repositories that it applies to.
#[derive(Clone, Debug)]
pub struct PolicyRule {
    /// Globs that match their names.
    pub repositories: Vec<Pattern>,
    /// The rule.
    pub rule: Rule,
}

impl Policy {
    /// Parses the text of a policy file.
    ///
    /// Fails with [`Error::Policy`], which names the line, the number of the rule, or both, and shows the right form.
    ///
    /// ```
    /// use regc_core::retention::Policy;
    ///
    /// # fn main() -> Result<(), regc_core::Error> {
    /// let policy = Policy::parse("{version: 1, rules: [{repositories: 'team/**', keep: 10, keep-tag: '^v'}]}")?;
    /// assert!(policy.rule_for("team/app").is_some() && policy.rule_for("other").is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::check(text).map_err(|error| Error::Policy(error.to_string()))
    }

    /// Parses the text of a policy file as [`Policy::parse`] does, for programs that show where an error is.
    ///
    /// Fails with the first error.
    pub fn check(text: &str) -> Result<Self, PolicyError> {
        let document: Document = serde_yaml::from_str(text).map_err(|error| PolicyError::of_parser(&error))?;
        let (defaults, calendar) = document.defaults.split();
        let rules = (1..).zip(document.rules).map(|(number, mut entry)| {
            let repositories = std::mem::take(&mut entry.repositories);
            let (rule, own) = entry.split();
            let rule = rule.or(&defaults).finish_with(own.or(&calendar));
            let rule = rule.map_err(|error| PolicyError::of_rule(number, error.to_string()))?;
            Ok(PolicyRule { repositories, rule })
        });
        Ok(Self { rules: rules.collect::<Result<_, PolicyError>>()? })
    }

    /// Returns the rule for a repository, which is the first with a matching glob, and its number, counted from 1.
    /// `None` if there is none: then everything in the repository is kept.
    pub fn rule_for(&self, repository: &str) -> Option<(&Rule, usize)> {
        let is_for = |rule: &PolicyRule| rule.repositories.iter().any(|glob| glob.matches_repository(repository));
        self.rules.iter().zip(1..).find(|(rule, _)| is_for(rule)).map(|(rule, number)| (&rule.rule, number))
    }

    /// Returns the numbers of the earlier rules because of which a rule never applies: together, they match every
    /// repository that it matches. `None` if it may apply, or if this is not easy to decide.
    ///
    /// `number` is counted from 1.
    pub fn never_applies(&self, number: usize) -> Option<BTreeSet<usize>> {
        let index = number.checked_sub(1)?;
        let earlier = self.rules.get(..index)?;
        let covers = |glob: &Pattern| {
            let is_covered = |rule: &PolicyRule| rule.repositories.iter().any(|other| other.covers(glob));
            earlier.iter().position(is_covered).map(|index| index + 1)
        };
        self.rules.get(index)?.repositories.iter().map(covers).collect()
    }

    /// Returns all rules, in their order.
    pub fn rules(&self) -> &[PolicyRule] {
        &self.rules
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `version` and `rules`")]
struct Document {
    #[serde(rename = "version", deserialize_with = "yaml::version")]
    _version: (),
    #[serde(default)]
    defaults: Defaults,
    rules: Vec<Entry>,
}

/// Declares a mapping with the keys of a rule; not flattened, since the parser would then no longer know any line.
macro_rules! mapping {
    ($(#[$attribute:meta])* struct $name:ident { $($own:tt)* }) => {
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        $(#[$attribute])*
        struct $name {
            $($own)*
            #[serde(default, deserialize_with = "yaml::keep")]
            keep: Option<Keep>,
            #[serde(default, deserialize_with = "yaml::age")]
            keep_within: Option<Duration>,
            #[serde(default, deserialize_with = "yaml::periods")]
            keep_hourly: Option<Keep>,
            #[serde(default, deserialize_with = "yaml::periods")]
            keep_daily: Option<Keep>,
            #[serde(default, deserialize_with = "yaml::periods")]
            keep_weekly: Option<Keep>,
            #[serde(default, deserialize_with = "yaml::periods")]
            keep_monthly: Option<Keep>,
            #[serde(default, deserialize_with = "yaml::periods")]
            keep_yearly: Option<Keep>,
            #[serde(default, deserialize_with = "yaml::tags")]
            keep_tag: Option<Vec<TagRegex>>,
            #[serde(default, deserialize_with = "yaml::tags")]
            only_tag: Option<Vec<TagRegex>>,
            #[serde(default, deserialize_with = "yaml::by")]
            by: Option<Order>,
            #[serde(default, deserialize_with = "yaml::age")]
            orphans: Option<Duration>,
        }

        impl $name {
            /// Returns what is said, as the library's users say it.
            fn split(self) -> (PartialRule, Calendar) {
                let calendar = Calendar::default()
                    .keep(Period::Hour, self.keep_hourly)
                    .keep(Period::Day, self.keep_daily)
                    .keep(Period::Week, self.keep_weekly)
                    .keep(Period::Month, self.keep_monthly)
                    .keep(Period::Year, self.keep_yearly);
                let rule = PartialRule {
                    keep: self.keep,
                    keep_within: self.keep_within,
                    keep_tags: self.keep_tag,
                    only_tags: self.only_tag,
                    by: self.by,
                    orphans: self.orphans,
                };
                (rule, calendar)
            }
        }
    };
}

mapping! {
    #[serde(expecting = "a mapping of keys of rules")]
    struct Defaults {}
}

mapping! {
    #[serde(expecting = "a mapping with `repositories`")]
    struct Entry {
        #[serde(deserialize_with = "yaml::repositories")]
        repositories: Vec<Pattern>,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn document(name: &str) -> String {
        std::fs::read_to_string(format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    /// The error for a policy with this text, without its column and the example.
    fn error(text: &str) -> String {
        let said = Policy::parse(text).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string();
        let error = Policy::check(text).unwrap_err();
        assert_eq!(said, format!("cannot use the retention policy: {error}"));
        let text = error.to_string();
        let (text, _) = text.rsplit_once("; for example `").unwrap();
        error.column.map_or(text.to_owned(), |column| text.replacen(&format!(", column {column}: "), ": ", 1))
    }

    fn error_in_rule(text: &str) -> String {
        error(&format!("version: 1\nrules:\n- {{repositories: a, keep: all}}\n- repositories: a\n  {text}"))
    }

    #[test]
    fn first_matching_rule_applies_and_overrides_the_defaults() {
        let policy = Policy::parse(
            "version: 1
defaults: {keep: 10, keep-within: 30d, keep-tag: ^v, by: semver}
rules:
- repositories: [team/app, 'other/**']
  keep: all
  only-tag: [a, b]
- {repositories: team/*, keep: 0, keep-tag: [], by: name}",
        )
        .unwrap();
        let said = |repository| {
            let (rule, number) = policy.rule_for(repository)?;
            let texts =
                |regexes: &[TagRegex]| regexes.iter().map(|regex| regex.to_string()).collect::<Vec<_>>().join(" ");
            let days = rule.keep_within.map(|within| within.as_secs() / 86_400);
            Some((number, rule.keep, days, texts(&rule.keep_tags), texts(&rule.only_tags), rule.order()))
        };
        let first = Some((1, Some(Keep::All), Some(30), "^v".to_owned(), "a b".to_owned(), Order::Semver));
        assert_eq!(said("team/app"), first);
        assert_eq!(said("other/a/b"), first);
        let second = Some((2, Some(Keep::Newest(0)), Some(30), String::new(), String::new(), Order::Name));
        assert_eq!(said("team/app2"), second);
        assert_eq!(said("team/a/b"), None);
        assert_eq!(policy.rules().len(), 2);
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        assert_eq!(
            error("kep: 1\nversion: 1\nrules: []"),
            "line 1: unknown field `kep`, expected one of `version`, `defaults`, `rules`"
        );
        assert!(
            error("version: 1\ndefaults:\n  keep: 1\n  repositories: a\nrules: []")
                .starts_with("line 4: defaults: unknown field `repositories`, expected one of `keep`, ")
        );
        assert!(error_in_rule("kep: 1").starts_with("line 5: rule 2: unknown field `kep`, expected one of "));
        assert!(error_in_rule("keep: 1\n  keep: 2").ends_with("rule 2: duplicate field `keep`"));
    }

    #[test]
    fn values_are_refused_with_their_rule_and_line() {
        for (text, expected) in [
            ("keep:", "keep: invalid type: unit value, expected a number of images, or `all`"),
            ("keep: -1", "keep: invalid type: integer `-1`, expected a number of images, or `all`"),
            ("keep: ten", r#"keep: invalid type: string "ten", expected a number of images, or `all`"#),
            ("keep-daily: 7d", r#"keep-daily: invalid type: string "7d", expected a number of periods, or `all`"#),
            ("keep-within: 30", "keep-within: invalid type: integer `30`, expected a duration"),
            ("keep-within: 1mo", r#"keep-within: "1mo" is not a duration like 90m, 24h or 7d, or too long"#),
            ("orphans: 30", "orphans: invalid type: integer `30`, expected a duration"),
            ("keep-tag: (", r#"keep-tag: "(" is not a regular expression: unclosed group"#),
            ("only-tag: [a, '']", "only-tag[1]: the regular expression is empty; `.*` matches every tag"),
            (
                "only-tag: 1.10",
                "only-tag: invalid type: floating point `1.1`, expected a regular expression, or a list of them",
            ),
            ("by: age", r#"by: "age" is not an order; use created, pushed, semver, name"#),
        ] {
            assert_eq!(error_in_rule(text), format!("line 5: rule 2, {expected}"));
        }
        let globs = |globs: &str| error(&format!("version: 1\nrules:\n- keep: 1\n  repositories: {globs}"));
        assert!(globs("[a, 'b[']").starts_with("line 4: rule 1, repositories[1]: invalid pattern: "));
        assert!(globs("a:v1").contains(r#""a:v1" names more than repositories"#));
        assert!(globs(&format!("a@sha256:{}", "0".repeat(64))).contains("names more than repositories"));
        assert_eq!(globs("[]"), "line 3: rule 1: the list of repositories is empty");
    }

    #[test]
    fn a_rule_that_leaves_open_what_to_keep_is_refused() {
        assert!(error_in_rule("by: name").starts_with("rule 2: what to keep is not set"));
        assert!(error_in_rule("keep-tag: []").starts_with("rule 2: what to keep is not set"));
        assert!(Policy::parse("version: 1\ndefaults: {keep: 1}\nrules: [{repositories: a, by: name}]").is_ok());
    }

    #[test]
    fn periods_in_a_rule_replace_those_of_the_defaults_one_by_one() {
        let policy = Policy::parse(
            "{version: 1, defaults: {keep-hourly: 24, keep-daily: 7, keep-yearly: all},
              rules: [{repositories: a, keep-daily: 0, keep-weekly: 4, keep-monthly: 12}, {repositories: b}]}",
        )
        .unwrap();
        let kept = |rule: usize| policy.rules()[rule].rule.calendar.to_string();
        assert_eq!(
            kept(0),
            "any of the last 24 hours, of any of the last 4 weeks, of any of the last 12 months or of any year"
        );
        assert_eq!(kept(1), "any of the last 24 hours, of any of the last 7 days or of any year");
    }

    #[test]
    fn rules_that_never_apply_are_found_where_that_is_simple() {
        let policy = |globs: &[&str]| {
            let rules: Vec<String> = globs.iter().map(|globs| format!("{{repositories: {globs}, keep: 1}}")).collect();
            Policy::parse(&format!("{{version: 1, rules: [{}]}}", rules.join(", "))).unwrap()
        };
        for (globs, expected) in [
            (&["'**'", "app"][..], &[1][..]),
            (&["'**'", "'*'"], &[1]),
            (&["'**'", "'*'", "app"], &[1]),
            (&["team/*", "team/app"], &[1]),
            (&["'team/**'", "['team/*/web', 'team/{a,b}', 'team/**']"], &[1]),
            (&["'a?'", "b", "[b, ab]"], &[1, 2]),
            (&["'*/app'", "'*/app'"], &[1]),
        ] {
            let last = policy(globs).never_applies(globs.len());
            assert_eq!(last, Some(expected.iter().copied().collect()), "{globs:?}");
        }
        for globs in [
            &["app", "'**'"][..],
            &["team/*", "team/app/web"],
            &["'team/**'", "team"],
            &["'team/**'", "'team*/app'"],
            &["'t*/**'", "'t*/app/*'"],
            &["app", "[app, other]"],
            &["app"],
        ] {
            assert_eq!(policy(globs).never_applies(globs.len()), None, "{globs:?}");
        }
        let policy = policy(&["'**'", "app"]);
        assert_eq!((policy.never_applies(0), policy.never_applies(3)), (None, None));
    }

    #[test]
    fn invalid_policy_is_refused() {
        for (text, expected) in [
            ("", "line 1: missing field `version`"),
            ("rules: []", "line 1: missing field `version`"),
            ("version: 1", "line 1: missing field `rules`"),
            ("version: 2\nrules: []", "line 1: version: unknown version 2; only 1 is supported"),
            ("[]", "line 1: invalid type: sequence, expected a mapping with `version` and `rules`"),
            (
                "version: 1\nrules: [a]",
                "line 2: rule 1: invalid type: string \"a\", expected a mapping with `repositories`",
            ),
            ("version: 1\nrules: [keep: 1]", "line 2: rule 1: missing field `repositories`"),
        ] {
            assert_eq!(error(text), expected);
        }
        assert!(error("version: 1\nrules: ]").starts_with("line 2: "));
    }

    #[test]
    fn the_example_in_the_documentation_is_a_policy() {
        let text = document("retention.md");
        let (_, example) = text.split_once("```yaml\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let policy = Policy::parse(example).unwrap();
        assert_eq!(policy.rule_for("ci/app/main").map(|(_, number)| number), Some(1));
        assert_eq!(policy.rule_for("nightly/app").map(|(_, number)| number), Some(2));
        assert_eq!(policy.rule_for("charts/web").map(|(_, number)| number), Some(3));
        assert_eq!(policy.rule_for("team/app").map(|(_, number)| number), Some(4));
        assert!(policy.rule_for("mirror/alpine").is_none());
    }

    #[test]
    fn the_schema_has_the_keys_that_are_accepted() {
        let schema: Value = serde_json::from_str(&document("retention.schema.json")).unwrap();
        let unknown = "unknown: 1\n";
        for (place, text) in [
            ("", unknown.to_owned()),
            ("/properties/defaults", format!("defaults: {{{}}}", unknown.trim())),
            ("/properties/rules/items", format!("rules: [{{{}}}]", unknown.trim())),
        ] {
            let object = schema.pointer(place).unwrap();
            let said = error(&text);
            let accepted: BTreeSet<&str> = said.split('`').skip(3).step_by(2).collect();
            let properties = object["properties"].as_object().unwrap();
            assert_eq!(properties.keys().map(String::as_str).collect::<BTreeSet<_>>(), accepted, "{place}");
            assert!(accepted.len() >= 3 && object["additionalProperties"] == false, "{place}");
            for (key, property) in properties {
                let described = property["$ref"].as_str().map_or(property, |to| schema.pointer(&to[1..]).unwrap());
                assert!(described["description"].is_string(), "{place} {key}");
            }
        }
        assert_eq!(schema["required"], serde_json::json!(["version", "rules"]));
        assert_eq!(schema["properties"]["rules"]["items"]["required"], serde_json::json!(["repositories"]));
        assert_eq!(schema["$defs"]["by"]["enum"], serde_json::json!(Order::ALL.map(Order::name)));
        assert_eq!(schema["$defs"]["by"]["default"], Order::default().name());
    }
}
