//! The protocol of CloudFormation's custom resources.

pub mod event;
pub mod physical_id;
pub mod plugins_map;
pub mod properties;
mod reader;
pub mod response;
pub mod response_url;
pub mod upload;
