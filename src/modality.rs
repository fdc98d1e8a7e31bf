//! The six modalities, in the method's fixed order, and one value for each of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the six kinds of evidence about an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// The learnt embedding, passed through the graph encoder.
    Graph,
    /// Image vectors (VGG16 fc7).
    Image,
    /// Bag of relations.
    Relation,
    /// Mean vector of the texts of an entity's relations.
    RelationText,
    /// Bag of attribute names.
    Attribute,
    /// Vector of an entity's attribute text.
    AttributeText,
}

impl Modality {
    /// All six, in the order of the fusion.
    pub const ALL: [Self; 6] =
        [Self::Graph, Self::Image, Self::Relation, Self::RelationText, Self::Attribute, Self::AttributeText];

    /// The five that pass through intra-modality experts.
    pub const WITH_EXPERTS: [Self; 5] =
        [Self::Image, Self::Relation, Self::RelationText, Self::Attribute, Self::AttributeText];

    /// The name used in stores, configuration and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Image => "image",
            Self::Relation => "relation",
            Self::RelationText => "relation_text",
            Self::Attribute => "attribute",
            Self::AttributeText => "attribute_text",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not a modality.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a modality; there are graph, image, relation, relation_text, attribute and attribute_text")]
pub struct UnknownModality(pub String);

impl FromStr for Modality {
    type Err = UnknownModality;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|m| m.name() == name).ok_or_else(|| UnknownModality(name.to_owned()))
    }
}

/// One value for each modality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerModality<T>([T; 6]);

impl<T> PerModality<T> {
    /// Makes each value from its modality.
    pub fn from_fn(mut make: impl FnMut(Modality) -> T) -> Self {
        Self(Modality::ALL.map(&mut make))
    }

    /// The values with their modalities, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Modality, &T)> {
        Modality::ALL.into_iter().zip(&self.0)
    }

    /// The values with their modalities, in order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Modality, &mut T)> {
        Modality::ALL.into_iter().zip(&mut self.0)
    }
}

impl<T> std::ops::Index<Modality> for PerModality<T> {
    type Output = T;

    fn index(&self, modality: Modality) -> &T {
        &self.0[modality as usize]
    }
}

impl<T> std::ops::IndexMut<Modality> for PerModality<T> {
    fn index_mut(&mut self, modality: Modality) -> &mut T {
        &mut self.0[modality as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back_to_its_modality() {
        for (position, modality) in Modality::ALL.into_iter().enumerate() {
            assert_eq!(modality.name().parse::<Modality>().unwrap(), modality);
            assert_eq!(modality as usize, position);
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let error = "img".parse::<Modality>().unwrap_err();
        assert!(error.to_string().contains("relation_text"));
    }
}
