//! Files that are written aside and take their name once they are whole.

use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// Makes temporary files that may be read by whoever may read the user's other new files: they are to become results, and
/// tempfile's own are for the user alone.
pub(crate) fn builder<'a>() -> Builder<'a, 'static> {
    let mut builder = Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// A new file beside `path`, to be given its name; removed when dropped.
///
/// # Errors
/// If the folder cannot be written to.
pub fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    builder().tempfile_in(folder)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_result_has_the_rights_of_any_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        let (plain, result) = (folder.path().join("plain"), folder.path().join("result"));
        std::fs::write(&plain, "").unwrap();
        beside(&result).unwrap().persist(&result).unwrap();
        assert_eq!(mode(&result), mode(&plain));
    }
}
