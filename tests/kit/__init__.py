"""What the tests share: material to build with, real servers, and other people's programs."""
