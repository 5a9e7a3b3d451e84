//! Finds what a registry has cached of blobs that are no longer in its storage, whatever removed them.

use rayon::prelude::*;

use super::connection::{Connection, Node};
use super::{BLOB, Entry, LINKED, REPOSITORY};
use crate::digest::Digest;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::registry::config::Redis;
use crate::registry::layout;
use crate::storage::ReadStorage;
use crate::threads::with_threads;

/// About how many keys a server returns at once.
const SCANNED: usize = 1000;

/// Lists the entries of a registry's cache of which the storage has no blob, or no link, sorted.
///
/// A registry that runs meanwhile may cache a blob that the storage did not have when it was asked. Removing such an
/// entry does no harm.
pub(crate) fn stale(
    redis: &Redis,
    storage: &dyn ReadStorage,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<Entry<'static>>, Error> {
    let mut connection = Connection::open(redis)?;
    let mut stale = Vec::new();
    let mut keep_stale = |entries: Vec<Entry<'static>>| {
        monitor.check()?;
        stale.extend(with_threads(jobs, || absent(storage, entries))?);
        Ok(())
    };
    for node in connection.nodes()? {
        let node = node.as_ref();
        each_page(&mut connection, node, "SCAN", None, &format!("{BLOB}*"), &mut |keys| {
            keep_stale(keys.iter().filter_map(|key| Some(Entry::blob(key.strip_prefix(BLOB)?.parse().ok()?))).collect())
        })?;
        let mut sets = Vec::new();
        each_page(&mut connection, node, "SCAN", None, &format!("{REPOSITORY}*{LINKED}"), &mut |keys| {
            sets.extend(keys);
            Ok(())
        })?;
        for set in sets {
            let name = set.strip_prefix(REPOSITORY).and_then(|rest| rest.strip_suffix(LINKED));
            let Some(name) = name.filter(|name| layout::is_repository_name(name)) else { continue };
            each_page(&mut connection, None, "SSCAN", Some(&set), "*", &mut |members| {
                let digests = members.iter().filter_map(|member| member.parse::<Digest>().ok());
                keep_stale(digests.map(|digest| Entry::link(name.to_owned(), digest)).collect())
            })?;
        }
    }
    stale.sort();
    stale.dedup();
    Ok(stale)
}

/// Calls `visit` with each page of what a cursor returns.
fn each_page(
    connection: &mut Connection,
    node: Option<&Node>,
    command: &str,
    key: Option<&str>,
    pattern: &str,
    visit: &mut dyn FnMut(Vec<String>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut cursor = 0;
    loop {
        let mut asked = redis::cmd(command);
        asked.arg(key).arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCANNED);
        let Some((next, page)) = connection.ask::<(u64, Vec<String>)>(&asked, node)? else { return Ok(()) };
        visit(page)?;
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// Returns those entries of which the storage has no blob, or no link.
fn absent(storage: &dyn ReadStorage, entries: Vec<Entry<'static>>) -> Result<Vec<Entry<'static>>, Error> {
    let is_absent = |entry: &Entry<'_>| -> Result<bool, Error> {
        let Entry { repository, digest } = entry;
        if storage.stat(&layout::blob_data(digest))?.is_none() {
            return Ok(true);
        }
        let Some(name) = repository else { return Ok(false) };
        Ok(storage.stat(&layout::layer_link(name, digest))?.is_none()
            && storage.stat(&layout::revision_link(name, digest))?.is_none())
    };
    let checked = entries.into_par_iter().map(|entry| Ok(is_absent(&entry)?.then_some(entry)));
    Ok(checked.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect())
}
