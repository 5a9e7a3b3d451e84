//! What is in a store: its images, where its bytes are, and whether it is damaged. Nothing here changes it.

use super::Store;
use crate::error::Error;
use crate::inspect::catalog::{ListOptions, Listing, catalog};
use crate::inspect::disk_usage::{DiskUsage, disk_usage};
use crate::inspect::overview::{Overview, overview};
use crate::inspect::reclaimable::{Reclaimable, reclaimable};
use crate::inspect::uploads::{Upload, uploads};
use crate::inspect::usage::{Detail, Usage, usage};
use crate::monitor::Monitor;
use crate::scan::{Options, Scan, scan};
use crate::undelete;
use crate::verify::content::{Blob, Checkpoint, HashOptions, Hashed, SystemClock, hash_all};
use crate::verify::{self, Verification};

impl Store {
    /// Lists the repositories whose names `is_wanted` accepts, sorted by name, with their tags and images.
    ///
    /// ```
    /// use regc_core::inspect::catalog::ListOptions;
    /// # fn main() -> Result<(), regc_core::Error> {
    /// # let mut registry = regc_testkit::TestRegistry::new();
    /// # let image = registry.image("team/app:v1").layers(["base", "new"]).push();
    /// # registry.image("other:v1").layers(["base"]).push();
    /// # let directory = registry.on_disk();
    /// # let store = Store::open(&Config::at_root(directory.path()))?;
    /// # use regc_core::{Config, Silent, Store};
    /// let listings = store.list(|name| name.starts_with("team/"), ListOptions::new().images(true), &Silent)?;
    /// for tag in listings.iter().flat_map(|listing| &listing.tags) {
    ///     println!("{}: {:?} bytes", tag.name, tag.image.as_ref().and_then(|image| image.bytes));
    /// }
    /// # assert_eq!(listings[0].tags[0].digest, Some(image));
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(
        &self,
        is_wanted: impl Fn(&str) -> bool + Sync,
        depth: ListOptions,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Listing>, Error> {
        catalog(self.as_it_is(), is_wanted, depth.absences(self.config.absences), self.threads(), monitor)
    }

    /// Reads what is in the store and what of it is reachable, for [`usage`](Self::usage).
    pub fn scan(&self, monitor: &dyn Monitor) -> Result<Scan, Error> {
        let known = self.known(false);
        scan(self.as_it_is(), &Options { jobs: self.threads(), known: known.as_ref(), ..Options::default() }, monitor)
    }

    /// Measures how much everything in a store takes up.
    ///
    /// ```
    /// use regc_core::inspect::usage::Detail;
    /// # fn main() -> Result<(), regc_core::Error> {
    /// # let mut registry = regc_testkit::TestRegistry::new();
    /// # let image = registry.image("team/app:v1").layers(["base", "new"]).push();
    /// # registry.image("other:v1").layers(["base"]).push();
    /// # let directory = registry.on_disk();
    /// # let store = Store::open(&Config::at_root(directory.path()))?;
    /// # use regc_core::{Config, Silent, Store};
    /// let scan = store.scan(&Silent)?;
    /// let usage = store.usage(&scan, Detail::default(), &Silent)?;
    /// for repository in &usage.repositories {
    ///     println!("{} would free {} bytes", repository.repository, repository.exclusive);
    /// }
    /// # assert_eq!(usage.repositories.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn usage<'s>(&self, scan: &'s Scan, detail: Detail, monitor: &dyn Monitor) -> Result<Usage<'s>, Error> {
        usage(&*self.storage, scan, detail, self.threads(), monitor)
    }

    /// Returns everything in the store, with what each part takes up: the results of [`list`](Self::list),
    /// [`usage`](Self::usage) and [`uploads`](Self::uploads) together.
    ///
    /// ```
    /// # fn main() -> Result<(), regc_core::Error> {
    /// # let mut registry = regc_testkit::TestRegistry::new();
    /// # let image = registry.image("team/app:v1").layers(["base", "new"]).push();
    /// # registry.image("other:v1").layers(["base"]).push();
    /// # let directory = registry.on_disk();
    /// # let store = Store::open(&Config::at_root(directory.path()))?;
    /// # use regc_core::{Config, Silent, Store};
    /// let scan = store.scan(&Silent)?;
    /// let overview = store.overview(&scan, &Silent)?;
    /// for repository in &overview.repositories {
    ///     for tag in &repository.listing.tags {
    ///         let frees = repository.usage_of(&tag.name).map(|usage| usage.exclusive);
    ///         println!("{}:{} would free {frees:?} bytes", repository.usage.repository, tag.name);
    ///     }
    /// }
    /// # assert_eq!(overview.repositories[0].usage_of("v1").unwrap().digest, Some(image));
    /// # assert_eq!(overview.totals.shared_layers.layers[0].images, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn overview<'s>(&self, scan: &'s Scan, monitor: &dyn Monitor) -> Result<Overview<'s>, Error> {
        overview(&*self.storage, scan, self.config.absences, self.threads(), monitor)
    }

    /// Measures how much of its file system everything below the storage root takes up, as `du -s` counts it.
    ///
    /// ```
    /// # fn main() -> Result<(), regc_core::Error> {
    /// # let mut registry = regc_testkit::TestRegistry::new();
    /// # registry.image("team/app:v1").layers(["base", "new"]).push();
    /// # let directory = registry.on_disk();
    /// # let store = Store::open(&Config::at_root(directory.path()))?;
    /// # use regc_core::{Config, Silent, Store};
    /// let usage = store.disk_usage(&Silent)?;
    /// println!("{} bytes, {} of which are links", usage.total.bytes, usage.links.bytes);
    /// # assert_eq!(usage.blobs.entries, 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Fails with [`Error::NoFileSystem`] if the store is in a bucket, and if listing a directory fails.
    pub fn disk_usage(&self, monitor: &dyn Monitor) -> Result<DiskUsage, Error> {
        disk_usage(&*self.storage, monitor)
    }

    /// Lists the unfinished uploads of these repositories. Their content is in no image, and no collection deletes it
    /// unless `CollectOptions::delete_uploads_before` is set.
    pub fn uploads<'n>(
        &self,
        repositories: impl Iterator<Item = &'n str>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Upload>, Error> {
        uploads(self.as_it_is(), &repositories.collect::<Vec<_>>(), self.threads(), monitor)
    }

    /// Checks a whole store, except the content of blobs that are not manifests: for that, see
    /// [`verify_content`](Self::verify_content).
    ///
    /// ```
    /// use regc_core::verify;
    /// # fn main() -> Result<(), regc_core::Error> {
    /// # let mut registry = regc_testkit::TestRegistry::new();
    /// # let image = registry.image("team/app:v1").layers(["base", "new"]).push();
    /// # registry.image("other:v1").layers(["base"]).push();
    /// # let directory = registry.on_disk();
    /// # let store = Store::open(&Config::at_root(directory.path()))?;
    /// # use regc_core::{Config, Silent, Store};
    /// let verification = store.verify(&verify::Options::new(), &Silent)?;
    /// for defect in &verification.defects {
    ///     println!("{} {}: {}", defect.kind.page().code, defect.path, defect.images.join(", "));
    /// }
    /// assert!(!verification.is_damaged());
    /// # Ok(())
    /// # }
    /// ```
    pub fn verify(&self, options: &verify::Options, monitor: &dyn Monitor) -> Result<Verification, Error> {
        let options = verify::Options { jobs: self.threads(), absences: self.config.absences, ..*options };
        verify::verify(self.as_it_is(), &options, monitor)
    }

    /// Hashes the blobs that a verification has found, and adds those that do not match their digest, or cannot be
    /// read, to it. `save` receives a checkpoint every few seconds, and one at the end.
    ///
    /// Fails if the checkpoint to resume is that of another store or sample. If the monitor stops it,
    /// [`Hashed::interrupted`] is set.
    pub fn verify_content(
        &self,
        verification: &mut Verification,
        options: &HashOptions,
        save: &(dyn Fn(&Checkpoint) + Sync),
        monitor: &dyn Monitor,
    ) -> Result<Hashed, Error> {
        let blobs: Vec<Blob> = verification.blobs.iter().map(|&(digest, bytes)| Blob { digest, bytes }).collect();
        let hashed = hash_all(&*self.storage, &blobs, options, &SystemClock::start(), save, monitor)?;
        verification.add_hashed(&*self.storage, &hashed, |_| true)?;
        Ok(hashed)
    }

    /// Finds the manifests that were deleted from the repositories whose names `is_wanted` accepts, and that can be
    /// linked again.
    pub fn deleted(
        &self,
        is_wanted: impl Fn(&str) -> bool + Sync,
        monitor: &dyn Monitor,
    ) -> Result<Vec<undelete::Deleted>, Error> {
        let mut found = undelete::find(self.as_it_is(), is_wanted, self.threads(), monitor)?;
        found.iter_mut().for_each(|deleted| deleted.store = self.number);
        Ok(found)
    }

    /// Prepares to compute how much deletions would free, one after the other, without a scan for each.
    ///
    /// ```
    /// # fn main() -> Result<(), regc_core::Error> {
    /// # let mut registry = regc_testkit::TestRegistry::new();
    /// # let image = registry.image("team/app:v1").layers(["base", "new"]).push();
    /// # registry.image("other:v1").layers(["base"]).push();
    /// # let directory = registry.on_disk();
    /// # let store = Store::open(&Config::at_root(directory.path()))?;
    /// # use regc_core::{CollectOptions, Config, Deletion, Silent, Store};
    /// let scan = store.scan(&Silent)?;
    /// let reclaimable = store.reclaimable(&scan, &Silent)?;
    /// let mut deletion = Deletion::default();
    /// deletion.tag("team/app", "v1", Some(image));
    /// println!("{} bytes would be freed", reclaimable.by(&deletion, &Silent)?.all_bytes());
    /// # let plan = store.plan_deletion(deletion.clone(), &CollectOptions::new(), &Silent)?;
    /// # assert_eq!(reclaimable.by(&deletion, &Silent)?.all_bytes(), plan.totals().all_bytes());
    /// # Ok(())
    /// # }
    /// ```
    pub fn reclaimable<'s>(&'s self, scan: &'s Scan, monitor: &dyn Monitor) -> Result<Reclaimable<'s>, Error> {
        reclaimable(&*self.storage, scan, self.threads(), monitor)
    }
}
