//! Where verdicts go.
