"""MDS v2 shards: encode, write, index and read, byte for byte as MosaicML Streaming defines them."""
