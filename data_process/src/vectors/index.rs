//! Index files: which key of a vector file belongs to which entity, one `entity TAB key` per line, as in MMKB's
//! `*_ImageIndex.txt`. A file with the columns the other way round (`ent_ids_1`: `id TAB entity`) is recognised by which
//! column names entities of the store.

use std::path::Path;

use super::entities::Entities;
use super::error::VectorError;

/// Entity and key pairs in file order; both as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// `(entity, key)`
    pub pairs: Vec<(Box<str>, Box<str>)>,
}

impl Index {
    /// Reads one index file.
    ///
    /// # Errors
    /// If the file cannot be read, is not UTF-8, or a line has no TAB.
    pub fn read(path: &Path, entities: &Entities) -> Result<Self, VectorError> {
        let bytes = std::fs::read(path).map_err(|source| VectorError::Open { path: path.to_owned(), source })?;
        Self::parse(path, &bytes, entities)
    }

    /// Reads the bytes of an index file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &Path, bytes: &[u8], entities: &Entities) -> Result<Self, VectorError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut pairs = Vec::new();
        for (line, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.is_empty() {
                continue;
            }
            let pair = std::str::from_utf8(text).ok().and_then(|text| text.split_once('\t'));
            let (entity, key) = pair.ok_or_else(|| VectorError::IndexLine {
                path: path.to_owned(),
                line: line + 1,
                found: String::from_utf8_lossy(text).chars().take(80).collect(),
            })?;
            pairs.push((entity.trim().into(), key.trim().into()));
        }
        let named =
            |side: fn(&(Box<str>, Box<str>)) -> &str| pairs.iter().filter(|pair| entities.is_name(side(pair))).count();
        if named(|pair| &pair.1) > named(|pair| &pair.0) {
            pairs = pairs.into_iter().map(|(key, entity)| (entity, key)).collect();
        }
        Ok(Self { pairs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Index, VectorError> {
        let entities = Entities::new(vec!["/m/a".into(), "<http://x/b>".into()], 1, ["L".into(), "R".into()]);
        Index::parse(Path::new("index.txt"), text, &entities)
    }

    #[test]
    fn lines_are_read_whatever_ends_them() {
        let expected = Index { pairs: vec![("/m/a".into(), "I1".into()), ("http://x/b".into(), "I2".into())] };
        assert_eq!(parse(b"\xef\xbb\xbf/m/a\tI1\r\nhttp://x/b\tI2\r\n\r\n").unwrap(), expected);
        assert_eq!(parse(b"I1\t/m/a\nI2\thttp://x/b").unwrap(), expected, "the other way round");
    }

    #[test]
    fn a_line_without_a_tab_is_named() {
        let error = parse(b"/m/a\tI1\nno tab here\n").unwrap_err();
        assert!(matches!(&error, VectorError::IndexLine { line: 2, .. }), "{error}");
        assert!(matches!(parse(b"\xff\tI1\n"), Err(VectorError::IndexLine { line: 1, .. })));
        let entities = Entities::new(Vec::new(), 0, ["L".into(), "R".into()]);
        assert!(matches!(Index::read(Path::new("/no/such"), &entities), Err(VectorError::Open { .. })));
    }
}
