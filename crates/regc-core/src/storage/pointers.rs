//! Pointers to a storage are storages, so that they can be shared or lent.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use super::contract::{
    Content, DeleteStorage, Entry, Hashes, Metadata, Moved, Object, PosixStorage, ReadStorage, Removal, Removing,
    TrashStorage,
};
use super::lock::{Holder, Lock};
use crate::error::Error;

macro_rules! forward_to_target {
    ($($pointer:ty),*) => {$(
        impl<S: ReadStorage + ?Sized> ReadStorage for $pointer {
            fn list(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
                (**self).list(directory, visit)
            }

            fn list_digests(&self, directory: &str, visit: &mut dyn FnMut(Entry<'_>)) -> Result<Vec<Hashes>, Error> {
                (**self).list_digests(directory, visit)
            }

            fn walk(&self, directory: &str, visit: &mut dyn FnMut(Object<'_>) -> ControlFlow<()>) -> Result<(), Error> {
                (**self).walk(directory, visit)
            }

            fn read(&self, key: &str, limit: u64) -> Result<Option<Content>, Error> {
                (**self).read(key, limit)
            }

            fn read_in_parts(&self, key: &str, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<bool, Error> {
                (**self).read_in_parts(key, visit)
            }

            fn stat(&self, key: &str) -> Result<Option<Metadata>, Error> {
                (**self).stat(key)
            }

            fn list_each(
                &self,
                directory: &str,
                directories: &[String],
                visit: &mut dyn FnMut(usize, Entry<'_>),
            ) -> Vec<Result<bool, Error>> {
                (**self).list_each(directory, directories, visit)
            }

            fn read_each(
                &self,
                directory: &str,
                keys: &[String],
                limit: u64,
                visit: &mut dyn FnMut(Option<Content>),
            ) -> Result<(), Error> {
                (**self).read_each(directory, keys, limit, visit)
            }

            fn stat_each(&self, directory: &str, keys: &[String]) -> Result<Vec<Option<Metadata>>, Error> {
                (**self).stat_each(directory, keys)
            }

            fn bytes_below(&self, directory: &str, is_left_out: &dyn Fn(&str) -> bool) -> Result<u64, Error> {
                (**self).bytes_below(directory, is_left_out)
            }

            fn ignored(&self) -> u64 {
                (**self).ignored()
            }

            fn link_being_written(&self, key: &str) -> Result<Option<String>, Error> {
                (**self).link_being_written(key)
            }

            fn is_remote(&self) -> bool {
                (**self).is_remote()
            }

            fn relist(&self, directory: &str) {
                (**self).relist(directory);
            }

            fn as_posix(&self) -> Option<&dyn PosixStorage> {
                (**self).as_posix()
            }
        }

        impl<S: DeleteStorage + ?Sized> DeleteStorage for $pointer {
            fn remove(&self, keys: &[String], how: &Removing<'_>) -> Vec<Removal> {
                (**self).remove(keys, how)
            }

            fn remove_empty_directories(
                &self,
                directories: &[String],
                unless_modified_since: Option<SystemTime>,
            ) -> Vec<Result<(), Error>> {
                (**self).remove_empty_directories(directories, unless_modified_since)
            }

            fn lock(&self, holder: &Holder) -> Result<Lock, Error> {
                (**self).lock(holder)
            }

            fn check_removable(&self, directory: &str, to_trash: bool) -> Result<(), Error> {
                (**self).check_removable(directory, to_trash)
            }

            fn hides_uploads(&self) -> bool {
                (**self).hides_uploads()
            }

            fn keeps_versions(&self) -> bool {
                (**self).keeps_versions()
            }

            fn removed_at_once(&self) -> Option<usize> {
                (**self).removed_at_once()
            }

            fn as_trash(&self) -> Option<&dyn TrashStorage> {
                (**self).as_trash()
            }
        }

        impl<S: TrashStorage + ?Sized> TrashStorage for $pointer {
            fn create(&self, key: &str, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
                (**self).create(key, write)
            }

            fn move_object(&self, from: &str, to: &str, below: &str) -> Result<Moved, Error> {
                (**self).move_object(from, to, below)
            }

            fn replace(
                &self,
                from: &str,
                to: &str,
                into: &str,
                unless_modified_since: Option<SystemTime>,
            ) -> Result<bool, Error> {
                (**self).replace(from, to, into, unless_modified_since)
            }

            fn remove_all(&self, key: &str) -> Result<(), Error> {
                (**self).remove_all(key)
            }
        }
    )*};
}

forward_to_target!(&S, Box<S>, Arc<S>);
