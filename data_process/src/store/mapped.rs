//! The one file of this crate with `unsafe`: parts of a file as memory.
//!
//! A mapping is private and copy-on-write: what is written to it never reaches the file. It holds no reference to a
//! path, so replacing the file by another (as every writer of this crate does) leaves it as it was. Only *truncating*
//! the very file under a live mapping, which nothing in this crate does, would end the process with SIGBUS.
#![expect(unsafe_code, reason = "mapping a file is unsafe by nature; everything that builds on it here is safe")]

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::{MmapMut, MmapOptions};

/// A range of a file as bytes.
#[derive(Debug)]
pub(super) struct Mapping(MmapMut);

impl Mapping {
    /// Maps a range that lies within the file; a range that does not is refused, since touching it would be fatal.
    pub(super) fn new(file: &File, range: Range<u64>) -> io::Result<Self> {
        let length = range.end.checked_sub(range.start).and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|_| range.end <= file.metadata().map_or(0, |about| about.len())) else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the range reaches beyond the end of the file"));
        };
        let mut options = MmapOptions::new();
        options.offset(range.start).len(length).no_reserve_swap();
        // SAFETY: the mapping is private, so no write through it reaches another mapping or the file. Another process
        // that writes into the file in place could change bytes under us; floats have no invalid bit patterns, and the
        // headers and levels that are parsed from a mapping are parsed with every access checked.
        unsafe { options.map_copy(file) }.map(Self)
    }

    /// Asks for huge pages: what is then read from the disk is read and mapped two megabytes at a time, where the file
    /// system can. Everything works without, only slower, so a kernel that refuses is not an error.
    pub(super) fn in_huge_pages(self) -> Self {
        #[cfg(target_os = "linux")]
        if let Err(refused) = self.ask_for_huge_pages() {
            log::debug!("no huge pages for mapped vectors: {refused}");
        }
        self
    }

    #[cfg(target_os = "linux")]
    fn ask_for_huge_pages(&self) -> io::Result<()> {
        self.0.advise(memmap2::Advice::HugePage)?;
        // A kernel that reads huge pages when a page is missing does so despite this, which only keeps it from reading on
        // by itself: that would be in small pages.
        if reads_huge_pages() { self.0.advise(memmap2::Advice::Random) } else { Ok(()) }
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The floats in a range of bytes; gives the mapping back if they are not aligned as floats must be.
    pub(super) fn floats(self, range: Range<usize>) -> Result<MappedFloats, Self> {
        let aligned = cfg!(target_endian = "little")
            && self.0.get(range.clone()).is_some_and(|bytes| bytemuck::try_cast_slice::<u8, f32>(bytes).is_ok());
        if aligned { Ok(MappedFloats { mapping: self.0, range }) } else { Err(self) }
    }
}

/// Whether a page that is missing from a mapping with huge pages is read as one: since Linux 5.18, for pages of 2 MiB.
#[cfg(target_os = "linux")]
fn reads_huge_pages() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    cfg!(target_arch = "x86_64") && version(&release).is_some_and(|version| version >= (5, 18))
}

/// Major and minor number of a kernel's release, such as `6.18.44-generic`.
#[cfg(target_os = "linux")]
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|other: char| !other.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Floats that lie in a file. Built only by [`Mapping::floats`], which has checked bounds and alignment.
#[derive(Debug)]
pub(super) struct MappedFloats {
    mapping: MmapMut,
    range: Range<usize>,
}

impl MappedFloats {
    /// The floats; they live as long as the mapping.
    pub(super) fn as_slice(&self) -> &[f32] {
        bytemuck::cast_slice(&self.mapping[self.range.clone()])
    }

    /// The floats for the rest of the process: the mapping is never undone.
    pub(super) fn into_static(self) -> &'static mut [f32] {
        let mapping: &'static mut MmapMut = Box::leak(Box::new(self.mapping));
        bytemuck::cast_slice_mut(&mut mapping[self.range])
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_s_version_is_read_from_its_release() {
        for (release, expected) in [
            ("6.18.44-fc-v782\n", Some((6, 18))),
            ("5.4.0-150-generic", Some((5, 4))),
            ("5.18", Some((5, 18))),
            ("", None),
            ("unknown", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
    }
}
