//! What the targets share: a folder whose files come from one fuzzer input.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// The byte between two files of an input.
pub const CUT: u8 = 0x1E;

/// A folder that lives as long as the process and is filled anew for each input.
pub struct Folder {
    folder: TempDir,
    names: &'static [&'static str],
}

impl Folder {
    /// A folder of such files, in memory where there is a `/dev/shm`.
    pub fn new(names: &'static [&'static str]) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a temporary folder can be made");
        for name in names {
            let parent = folder.path().join(name);
            fs::create_dir_all(parent.parent().expect("it lies in the folder")).expect("a folder can be made");
        }
        Self { folder, names }
    }

    /// Writes the parts of an input into the files; what is missing becomes an empty file.
    pub fn fill(&self, input: &[u8]) -> &Path {
        let mut parts = input.splitn(self.names.len(), |&byte| byte == CUT);
        for name in self.names {
            fs::write(self.folder.path().join(name), parts.next().unwrap_or_default()).expect("a file can be written");
        }
        self.folder.path()
    }
}
