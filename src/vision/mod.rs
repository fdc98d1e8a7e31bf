//! Images become a vector column of a store, by VGG16.
//!
//! ```text
//!  folder of images ──► pictures (entity ◄─► file) ──► pixels (decode, resize, crop) ──► vgg ──► store column
//!  index file ──────────┘                                       plm::weights (safetensors, .bin) ──┘
//! ```

pub mod pictures;
pub mod pixels;
pub mod run;
pub mod vgg;
