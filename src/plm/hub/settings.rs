//! Where models are fetched from and kept: the environment variables that Python's `huggingface_hub` reads.

use std::path::PathBuf;

use super::HubError;

/// The Hub and its cache.
#[derive(Clone, PartialEq, Eq)]
pub struct Hub {
    /// The cache folder, with one `models--owner--name` for each repository.
    pub cache: PathBuf,
    /// The address of the Hub.
    pub endpoint: String,
    /// Sent with every request.
    pub token: Option<String>,
    /// Whether only the cache may be used.
    pub offline: bool,
    /// How often a broken download is taken up again.
    pub retries: usize,
}

impl std::fmt::Debug for Hub {
    /// Everything but the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = if self.token.is_some() { "given" } else { "none" };
        f.debug_struct("Hub")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &token)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// From `HF_HUB_CACHE`, `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH` and `HF_HUB_OFFLINE`, and the same
    /// defaults as Python's.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let caches =
            || set("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
        let home = set("HF_HOME").map(PathBuf::from).or_else(|| Some(caches()?.join("huggingface")));
        let cache = set("HF_HUB_CACHE").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join("hub")));
        let in_file = || {
            let path = set("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join("token")))?;
            std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let offline = set("HF_HUB_OFFLINE").unwrap_or_default().to_uppercase();
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Ok(Self {
            cache: cache.ok_or(HubError::NoHome)?,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: set("HF_TOKEN").or_else(in_file),
            offline: matches!(offline.as_str(), "1" | "ON" | "YES" | "TRUE"),
            retries: 5,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Result<Hub, HubError> {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Hub::from_variables(value)
    }

    #[test]
    fn the_defaults_are_pythons() {
        let hub = hub(&[("HOME", "/home/a")]).unwrap();
        assert_eq!(hub.cache, PathBuf::from("/home/a/.cache/huggingface/hub"));
        assert_eq!(hub.endpoint, "https://huggingface.co");
        assert_eq!((hub.token, hub.offline), (None, false));
    }

    #[test]
    fn each_variable_wins_over_the_more_general_one() {
        let base = [("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")];
        let cache = |n: usize| hub(&base[..n]).unwrap().cache;
        assert_eq!(cache(2), PathBuf::from("/x/huggingface/hub"));
        assert_eq!(cache(3), PathBuf::from("/f/hub"));
        assert_eq!(cache(4), PathBuf::from("/c"));
    }

    #[test]
    fn the_token_comes_from_the_variable_or_a_file_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "from-home\n").unwrap();
        std::fs::write(folder.path().join("other"), "from-path\n").unwrap();
        let (home, other) = (folder.path().to_str().unwrap(), folder.path().join("other"));
        let variables = [("HF_HOME", home), ("HF_TOKEN_PATH", other.to_str().unwrap()), ("HF_TOKEN", "given")];
        let token = |n: usize| hub(&variables[..n]).unwrap().token.unwrap();
        assert_eq!([token(1), token(2), token(3)], ["from-home", "from-path", "given"]);
        let secret = [variables[0], ("HF_TOKEN", "hf_secret")];
        assert!(!format!("{:?}", hub(&secret).unwrap()).contains("hf_secret"));
    }

    #[test]
    fn offline_is_any_of_the_words_python_takes() {
        for (word, offline) in [("1", true), ("true", true), ("YES", true), ("0", false), ("", false)] {
            assert_eq!(hub(&[("HF_HOME", "/f"), ("HF_HUB_OFFLINE", word)]).unwrap().offline, offline, "{word}");
        }
    }

    #[test]
    fn without_a_home_the_variable_to_set_is_named() {
        assert!(matches!(hub(&[]), Err(HubError::NoHome)));
    }
}
