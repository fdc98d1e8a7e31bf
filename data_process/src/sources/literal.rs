//! A literal as written in triples: `"text"`, `"text"^^<datatype>` or `"text"@language`.

/// A literal's parts, borrowed from its line. Escapes inside the text stay as the source wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Literal<'a> {
    pub(super) value: &'a str,
    /// The datatype's identifier without its angle brackets.
    pub(super) datatype: Option<&'a str>,
    pub(super) lang: Option<&'a str>,
}

impl<'a> Literal<'a> {
    /// A value without datatype or language.
    pub(super) fn plain(value: &'a str) -> Self {
        Self { value, datatype: None, lang: None }
    }

    /// Reads a quoted literal; none if the quotes, the datatype's brackets or the language are not well formed.
    pub(super) fn quoted(text: &'a str) -> Option<Self> {
        let (value, rest) = text.strip_prefix('"')?.rsplit_once('"')?;
        if rest.is_empty() {
            return Some(Self::plain(value));
        }
        if let Some(lang) = rest.strip_prefix('@') {
            return is_language(lang).then_some(Self { value, datatype: None, lang: Some(lang) });
        }
        let datatype = rest.strip_prefix("^^<")?.strip_suffix('>')?;
        (!datatype.is_empty()).then_some(Self { value, datatype: Some(datatype), lang: None })
    }
}

fn is_language(tag: &str) -> bool {
    !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_literal_is_read() {
        assert_eq!(Literal::quoted("\"a \"b\" c\""), Some(Literal::plain("a \"b\" c")));
        assert_eq!(Literal::quoted("\"\""), Some(Literal::plain("")));
        let dated = Literal::quoted("\"1786-##-##\"^^<http://www.w3.org/2001/XMLSchema#date>").unwrap();
        assert_eq!(dated.value, "1786-##-##");
        assert_eq!(dated.datatype, Some("http://www.w3.org/2001/XMLSchema#date"));
        assert_eq!(Literal::quoted("\"Wien\"@de-AT").unwrap().lang, Some("de-AT"));
    }

    #[test]
    fn a_malformed_literal_is_none() {
        for text in ["", "\"", "1.5", "\"a\"b", "\"a\"^^<>", "\"a\"^^xsd:date", "\"a\"@", "\"a\"@d e"] {
            assert_eq!(Literal::quoted(text), None, "{text}");
        }
    }
}
