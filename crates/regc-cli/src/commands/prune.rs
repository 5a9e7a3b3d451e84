//! `regc prune`.

mod check_policy;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use regc_core::inspect::catalog::{ListOptions, Listing, Tag};
use regc_core::registry::layout;
use regc_core::registry::pattern;
use regc_core::registry::pattern::Pattern;
use regc_core::retention::{
    Calendar, Decision, Keep, Order, PartialRule, Period, Policy, Reason, Rule, TagFacts, TagRegex, decide,
};
use regc_core::{CollectOptions, Deletion, Error, Finding, Monitor, Plan, Store, duration};

use crate::ExitStatus;
use crate::commands::apply::Ways;
use crate::commands::plan_file::Approved;
use crate::commands::removing::{Removal, Removing, tell_of_unused};
use crate::commands::reports::Reports;
use crate::commands::store::Opened;
use crate::commands::{Common, Format};
use crate::failure::Failure;
use crate::output::{self, natural};

/// Remove the images that no rule keeps: all but the newest, the recent, or those with certain tags.
///
/// Rules count images, not tags: an image is kept if any of its tags is. Platforms, signatures and everything else that
/// belongs to an image are kept or deleted with it. Images to which a rule cannot be applied are kept. Stop the
/// registry first, or make it read-only. docs/retention.md explains the rules and the policy file.
#[derive(clap::Args)]
#[command(override_usage = "regc prune [OPTIONS] <--keep <N>|--keep-*|--policy <FILE>|--check-policy <FILE>> [CONFIG]")]
#[command(group = clap::ArgGroup::new("what_stays").required(true).multiple(true)
    .args(["keep", "keep_within", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_tag",
        "policy", "check_policy"]))]
pub struct Args {
    /// The registry's configuration file. Default: as for `regc gc`
    #[arg(value_name = "CONFIG", conflicts_with_all = ["config", "root"])]
    path: Option<PathBuf>,

    /// Keep this many of the newest images of each repository, or `all`
    #[arg(long, value_name = "N")]
    keep: Option<Keep>,

    /// Keep images that are not older than this. Examples: 90m, 24h, 30d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    keep_within: Option<Duration>,

    /// Keep the newest image of each of the last N hours that have one, or of `all` hours. An image counts for the
    /// hour, day and so on in which it was pushed or, with --by created, created, in UTC
    #[arg(long, value_name = "N")]
    keep_hourly: Option<Keep>,

    /// Keep the newest image of each of the last N days that have one
    #[arg(long, value_name = "N")]
    keep_daily: Option<Keep>,

    /// Keep the newest image of each of the last N weeks that have one. A week begins on Monday
    #[arg(long, value_name = "N")]
    keep_weekly: Option<Keep>,

    /// Keep the newest image of each of the last N months that have one
    #[arg(long, value_name = "N")]
    keep_monthly: Option<Keep>,

    /// Keep the newest image of each of the last N years that have one
    #[arg(long, value_name = "N")]
    keep_yearly: Option<Keep>,

    /// Keep images with a tag that this regular expression matches; may be given several times
    #[arg(long, value_name = "REGEX")]
    keep_tag: Vec<TagRegex>,

    /// Remove only images whose tags all match this regular expression; may be given several times
    #[arg(long, value_name = "REGEX")]
    only_tag: Vec<TagRegex>,

    /// What "newest" means: created, pushed, semver or name
    #[arg(long, value_name = "ORDER", default_value = "pushed")]
    by: Order,

    /// Also remove tags of signatures, SBOMs and attestations that were pushed longer ago than this, if their image was
    /// deleted from the repository
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    orphans: Option<Duration>,

    /// Take the rules from this file. The first rule that matches a repository applies to it
    #[arg(long, value_name = "FILE", conflicts_with_all = RULES)]
    policy: Option<PathBuf>,

    /// Check this policy file, and print what each rule keeps and which rules never apply. Removes nothing, and needs
    /// no store
    #[arg(long, value_name = "FILE", conflicts_with_all = RULES, conflicts_with_all = [
        "policy", "path", "config", "root", "repository", "now", "explain", "dry_run", "yes", "live", "trash", "no_gc",
        "min_age", "quiet",
    ])]
    check_policy: Option<PathBuf>,

    /// Apply the rules only in matching repositories; `*` stands for one component, `**` for any number. May be given
    /// several times
    #[arg(long, value_name = "GLOB", value_parser = pattern::repository)]
    repository: Vec<Pattern>,

    /// Use this as the current time, for example 2026-11-21T03:15:02Z
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,

    /// For each tag, print why it is kept or deleted
    #[arg(long)]
    explain: bool,

    #[command(flatten)]
    removing: Removing,

    #[command(flatten)]
    common: Common,
}

/// The options that are a rule.
const RULES: [&str; 11] = [
    "keep",
    "keep_within",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
    "keep_tag",
    "only_tag",
    "by",
    "orphans",
];

/// Where the rules come from.
enum Rules {
    Policy(Policy),
    One(Rule),
}

impl Rules {
    fn of(&self, repository: &str) -> Option<&Rule> {
        match self {
            Rules::Policy(policy) => policy.rule_for(repository).map(|(rule, _)| rule),
            Rules::One(rule) => Some(rule),
        }
    }

    /// Whether any of them asks when images were created, which only their configurations tell.
    fn order_by_creation(&self) -> bool {
        let is_by_creation = |rule: &Rule| rule.order() == Order::Created;
        match self {
            Rules::Policy(policy) => policy.rules().iter().any(|rule| is_by_creation(&rule.rule)),
            Rules::One(rule) => is_by_creation(rule),
        }
    }
}

/// A repository, with the decision on each of its tags.
struct Judged {
    repository: String,
    tags: Vec<(Tag, Option<Decision>)>,
}

pub fn run(mut args: Args) -> Result<ExitStatus, Failure> {
    if let Some(path) = &args.check_policy {
        return Ok(check_policy::run(path, &read(path)?, args.common.format()));
    }
    args.common = args.common.at(args.path.take());
    let mut reports = Reports::new("prune", &args.removing.reports, SystemTime::now());
    let ended = prune(&args, &mut reports);
    reports.write(ended)
}

/// Carries out a plan that was approved.
pub fn apply(args: Args, approved: Approved, ways: &Ways) -> Result<ExitStatus, Failure> {
    run(Args { removing: args.removing.approved(approved, ways), common: args.common.printing(ways.format()), ..args })
}

fn prune(args: &Args, reports: &mut Reports<'_>) -> Result<ExitStatus, Failure> {
    let rules = rules(args)?;
    let mut removal = Removal::open(&args.common, &args.removing, args.policy.as_deref(), reports)?;
    removal.is_by_rule = true;
    let session = removal.opened.session()?;
    let now = args.now.map_or(removal.started, SystemTime::from);
    let judged = judge(&removal.opened.store, &removal.opened.progress, &args.repository, &rules, now);
    removal.opened.progress.clear();
    let judged = judged?;
    tell_of_unused(&args.repository, judged.iter().map(|judged| &*judged.repository));
    let deletion = deletion(&judged);
    let mut findings = Vec::new();
    for Judged { repository, tags } in &judged {
        for (tag, decision) in tags {
            if let Some(Decision { keep: true, reason, .. }) = decision {
                findings.extend(finding(&removal.opened, repository, tag, reason)?);
            }
        }
    }
    let undated = judged
        .iter()
        .flat_map(|judged| &judged.tags)
        .filter(|(_, decision)| decision.as_ref().is_some_and(|decision| decision.reason.is_age_unknown()));
    match undated.count() {
        0 => {}
        _ if args.removing.quiet => {}
        undated => output::warn(format_args!(
            "{undated} tags are kept, because the creation time of their images is unknown; use `--by pushed`"
        )),
    }
    let check = |plan: Plan| {
        if !args.removing.quiet {
            report::explain(&judged, &plan, now, args.common.format(), args.explain);
            if args.common.format() == Format::Human {
                report::summarise(&judged, &plan, args.removing.all);
            }
        }
        Ok(plan.allow_partial())
    };
    removal.remove(session.as_ref(), deletion, findings, &check, reports)
}

/// Plans what a policy deletes now.
pub fn plan(store: &Store, policy: Policy, now: SystemTime, monitor: &dyn Monitor) -> Result<Plan, Error> {
    let judged = judge(store, monitor, &[], &Rules::Policy(policy), now)?;
    store.plan_deletion(deletion(&judged), &CollectOptions::new(), monitor)
}

/// Returns the deletion of all tags that no rule keeps.
fn deletion(judged: &[Judged]) -> Deletion {
    let mut deletion = Deletion::default();
    for Judged { repository, tags } in judged {
        for (tag, decision) in tags {
            if let Some(Decision { keep: false, .. }) = decision {
                deletion.tag(repository, &tag.name, tag.digest);
            }
        }
    }
    deletion
}

fn rules(args: &Args) -> Result<Rules, Error> {
    if let Some(path) = &args.policy {
        return Ok(Rules::Policy(Policy::parse(&read(path)?)?));
    }
    let calendar = Calendar::default()
        .keep(Period::Hour, args.keep_hourly)
        .keep(Period::Day, args.keep_daily)
        .keep(Period::Week, args.keep_weekly)
        .keep(Period::Month, args.keep_monthly)
        .keep(Period::Year, args.keep_yearly);
    let rule = PartialRule {
        keep: args.keep,
        keep_within: args.keep_within,
        keep_tags: Some(args.keep_tag.clone()),
        only_tags: Some(args.only_tag.clone()),
        by: Some(args.by),
        orphans: args.orphans,
    };
    Ok(Rules::One(rule.finish_with(calendar)?))
}

/// Reads a policy file.
pub fn read(path: &Path) -> Result<String, Error> {
    let fail = |source| Error::Storage { action: "read the policy", path: path.display().to_string(), source };
    std::fs::read_to_string(path).map_err(fail)
}

/// Decides which tags are kept and which are deleted.
fn judge(
    store: &Store,
    monitor: &dyn Monitor,
    repositories: &[Pattern],
    rules: &Rules,
    now: SystemTime,
) -> Result<Vec<Judged>, Error> {
    let is_meant = |name: &str| {
        layout::is_repository_name(name)
            && (repositories.is_empty() || repositories.iter().any(|glob| glob.matches_repository(name)))
    };
    let depth = ListOptions::new().images(true).configurations(rules.order_by_creation()).owners(true);
    let listings = store.list(is_meant, depth, monitor)?;
    let judge = |Listing { repository, tags, between, orphans, .. }: Listing| {
        let decisions = match rules.of(&repository) {
            Some(rule) => {
                let facts: Vec<TagFacts> = tags.iter().map(|tag| facts(tag, &orphans)).collect();
                decide(rule, &facts, &between, now).into_iter().map(Some).collect()
            }
            None => vec![None; tags.len()],
        };
        let mut tags: Vec<_> = tags.into_iter().zip(decisions).collect();
        tags.sort_by(|(one, _), (other, _)| natural::compare(&one.name, &other.name));
        Judged { repository, tags }
    };
    Ok(listings.into_iter().map(judge).collect())
}

fn facts(tag: &Tag, orphans: &BTreeMap<String, SystemTime>) -> TagFacts {
    let image = tag.image.as_ref();
    TagFacts {
        tag: tag.name.clone(),
        digest: tag.digest,
        pushed: tag.pushed,
        created: image.and_then(|image| image.created.clone()),
        subject: image.and_then(|image| image.subject),
        owners: tag.owners.clone(),
        is_understood: tag.is_linked && image.is_some(),
        orphaned_since: orphans.get(&tag.name).copied(),
    }
}

/// Returns the finding for a tag that is kept, if there is one. Content that is there, and is not understood, is a finding of the
/// plan.
fn finding(opened: &Opened, repository: &str, named: &Tag, reason: &Reason) -> Result<Option<Finding>, Error> {
    let (repository, tag) = (repository.to_owned(), named.name.clone());
    Ok(match (reason, named.digest) {
        (Reason::Garbled, _) => Some(Finding::GarbledTag { repository, tag }),
        (Reason::CannotBePulled, Some(manifest)) if !named.is_linked => {
            Some(Finding::DanglingTag { repository, tag, manifest })
        }
        (Reason::CannotBePulled, Some(manifest)) => {
            let is_missing = opened.store.storage().stat(&layout::blob_data(&manifest))?.is_none();
            is_missing.then_some(Finding::DanglingRevision { repository, manifest })
        }
        _ => None,
    })
}
