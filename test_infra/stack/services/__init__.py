"""The services that this project ships, one file each; `test_infra.stack.registry` lists them."""
