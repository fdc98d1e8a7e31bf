//! Texts become vector columns of a store, by a pretrained language model or, for demos, by hashing.
//!
//! ```text
//!  hub ──► config, weights, tokenizer ──► bert | roberta | albert | t5 | llama | chatglm2 ──► pooling
//!                                                             ▲                                  │
//!  store ──► distinct texts ──► batching (sorted by length) ──┘          cache (beside the store) ◄┘
//!    ▲                                                                             │
//!    └──────────────── relation_text (mean over triples), attribute_text ◄─────────┘
//! ```

pub mod batching;
pub mod cache;
mod columns;
pub mod config;
pub mod crew;
pub mod embedder;
pub mod hashing;
pub mod hub;
pub mod layers;
pub mod mapping;
pub mod passages;
pub mod pooling;
pub mod run;
pub mod sentencepiece;
pub mod shard;
pub mod tokenizer;
pub mod weights;

#[cfg(test)]
mod parity;

pub mod albert;
pub mod bert;
pub mod chatglm2;
pub mod llama;
pub mod roberta;
pub mod t5;
