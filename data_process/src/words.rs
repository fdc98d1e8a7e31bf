//! Names of relations and attributes split into the words a person would read: `http://dbpedia.org/ontology/birthPlace`
//! becomes `birth place`, Freebase's `/people/person/place_of_birth` becomes `person place of birth`.

/// The words of a name, in lower case and separated by single spaces. A compound Freebase relation (`/a/b/c./d/e/f`)
/// gives its parts separated by a comma. A name without any letter or digit is given back as it is.
pub fn words(name: &str) -> String {
    let bare = bare(name);
    let text = if bare.starts_with('/') { path(bare) } else { tail(bare) };
    if text.is_empty() { name.to_owned() } else { text }
}

/// The words of the property itself, without the type Freebase puts before it: `date of birth`, not `person date of birth`.
pub fn property(name: &str) -> String {
    let bare = bare(name);
    let last = if bare.starts_with('/') { last_of(bare, '/') } else { last_of(local(bare), '.') };
    split(last)
}

fn bare(name: &str) -> &str {
    let name = name.trim();
    name.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(name).trim_end_matches(['/', '#'])
}

/// `/domain/type/property`, or two of them joined by a dot: the type and the property of each.
fn path(name: &str) -> String {
    let mut parts: Vec<String> =
        name.split("./").map(|part| last_two(part, '/')).filter(|part| !part.is_empty()).collect();
    parts.dedup();
    parts.join(", ")
}

/// What follows the last `/`, `#` or `:`; a dotted Freebase name keeps its type and property.
fn tail(name: &str) -> String {
    let local = local(name);
    if local.matches('.').count() >= 2 { last_two(local, '.') } else { split(local) }
}

fn local(name: &str) -> &str {
    name.rsplit(['/', '#', ':']).next().unwrap_or(name)
}

fn last_of(text: &str, separator: char) -> &str {
    text.rsplit(separator).find(|part| !part.is_empty()).unwrap_or(text)
}

fn last_two(text: &str, separator: char) -> String {
    let mut segments = text.rsplit(separator).filter(|segment| !segment.is_empty());
    let property = split(segments.next().unwrap_or(""));
    let kind = split(segments.next().unwrap_or(""));
    if kind.is_empty() || property.starts_with(&kind) { property } else { format!("{kind} {property}") }
}

/// Splits at everything that is neither letter nor digit, before a capital that follows a small letter or a digit, and
/// before the last capital of a run that a small letter follows (`XMLName` is `xml name`).
fn split(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let small_follows = letters.peek().is_some_and(|next| next.is_lowercase());
        let begins = letter.is_uppercase() && (!before.is_uppercase() || small_follows);
        if !letter.is_alphanumeric() || begins {
            separate(&mut words);
        }
        if letter.is_alphanumeric() {
            words.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.truncate(words.trim_end().len());
    words
}

fn separate(words: &mut String) {
    if !words.is_empty() && !words.ends_with(' ') {
        words.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_benchmark_become_words() {
        for (name, expected) in [
            ("<http://dbpedia.org/ontology/birthPlace>", "birth place"),
            ("http://yago-knowledge.org/resource/isLeaderOf", "is leader of"),
            ("/people/person/place_of_birth", "person place of birth"),
            ("/common/topic/webpage./common/webpage/category", "topic webpage, webpage category"),
            ("<http://rdf.freebase.com/ns/people.person.height_meters>", "person height meters"),
            ("http://rdf.freebase.com/ns/location.location.location_area", "location area"),
            ("http://www.w3.org/2003/01/geo/wgs84_pos#lat", "lat"),
            ("<http://dbpedia.org/ontology/http://xmlns.com/foaf/0.1/name>", "name"),
            ("dbo:imdbId", "imdb id"),
            ("http://example.org/XMLName", "xml name"),
            ("http://example.org/ontology/", "ontology"),
            ("http://zh.dbpedia.org/property/出生地", "出生地"),
            ("http://example.org/#", "example org"),
            ("###", "###"),
            ("", ""),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }

    #[test]
    fn the_property_leaves_its_type_out() {
        assert_eq!(property("<http://rdf.freebase.com/ns/people.person.date_of_birth>"), "date of birth");
        assert_eq!(property("/people/person/place_of_birth"), "place of birth");
        assert_eq!(property("http://dbpedia.org/ontology/birthYear"), "birth year");
    }
}
