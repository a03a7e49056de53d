//! Tests of key frame detection.
