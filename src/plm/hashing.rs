//! `--plm hashing`: vectors from words and character n-grams, by hashing. No model, no download, the same everywhere.
//!
//! A text becomes lower-case words (cut where letters and digits, or lower and upper case, meet: `placeOfBirth` is three).
//! Each word counts whole and as its character trigrams, with its ends marked. Every feature has a fixed place among
//! [`WIDTH`] and a fixed sign; the sum is brought to unit length. Texts that share words or parts of words are near, in
//! whatever order the words stand: "place of birth" is near "birth place". It knows nothing of meaning; it is for demos and
//! tests.

/// Floats per vector.
pub const WIDTH: usize = 256;

/// What a whole word weighs; a trigram weighs 1.
const WORD_WEIGHT: f32 = 2.0;

/// Set in a feature that is a whole word.
const WORD: u32 = 1 << 31;

/// Set in a feature that counts negatively.
const NEGATIVE: u32 = 1 << 30;

/// The features of a text, in order: place, sign and weight of each in one number.
pub fn features(text: &str) -> Vec<u32> {
    let mut features = Vec::new();
    for word in words(text) {
        features.push(feature(&word) | WORD);
        let marked: Vec<char> = std::iter::once('\u{2}').chain(word.chars()).chain(std::iter::once('\u{3}')).collect();
        features.extend(marked.windows(3).map(|gram| feature(&gram.iter().collect::<String>())));
    }
    features
}

/// The vector of a text with these features; all zeros if it has none.
pub fn vector(features: &[u32]) -> [f32; WIDTH] {
    let mut sum = [0.0; WIDTH];
    for feature in features {
        let weight = if feature & WORD == 0 { 1.0 } else { WORD_WEIGHT };
        let signed = if feature & NEGATIVE == 0 { weight } else { -weight };
        sum[*feature as usize % WIDTH] += signed;
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        for x in &mut sum {
            *x /= length;
        }
    }
    sum
}

/// Lower-case runs of letters or of digits, cut also where a capital follows a small letter.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = None;
    for c in text.chars() {
        if starts_word(before, c) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
        before = Some(c);
    }
    words.retain(|word| !word.is_empty());
    words
}

fn starts_word(before: Option<char>, c: char) -> bool {
    let Some(before) = before else { return false };
    !before.is_alphanumeric() || before.is_numeric() != c.is_numeric() || (before.is_lowercase() && c.is_uppercase())
}

/// FNV-1a over the bytes, then mixed so that the low bits depend on all of them.
fn feature(text: &str) -> u32 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = mixed ^ (mixed >> 33);
    mixed as u32 & !WORD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &str, b: &str) -> f32 {
        let (a, b) = (vector(&features(a)), vector(&features(b)));
        a.iter().zip(&b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn near_texts_have_near_vectors() {
        assert!(cosine("place of birth", "birth place") > 0.75);
        assert!(cosine("birthPlace", "place_of_birth") > 0.75);
        assert!(cosine("birthplace", "birth place") > 0.4);
        assert!(cosine("place of birth", "birth place") > cosine("place of birth", "place of death"));
        assert!(cosine("place of birth", "film director").abs() < 0.25);
    }

    #[test]
    fn vectors_have_unit_length_and_an_empty_text_none() {
        assert!((cosine("höhe 12 m", "höhe 12 m") - 1.0).abs() < 1e-6);
        assert!(vector(&features(" — ")).iter().all(|x| *x == 0.0));
    }

    #[test]
    fn words_are_cut_at_case_digits_and_signs() {
        assert_eq!(words("placeOfBirth /x1990_ÄÖ"), ["place", "of", "birth", "x", "1990", "äö"]);
        assert_eq!(words("東京 2020"), ["東京", "2020"]);
    }

    #[test]
    fn the_vectors_are_the_same_on_every_machine_and_for_ever() {
        // Stores made years apart must agree, so these figures may never change.
        let found = features("a b");
        assert_eq!(found.len(), 4);
        assert_eq!(found, [2_568_593_997, 1_030_692_852, 3_757_863_836, 900_906_285]);
    }
}
