"""What a test suite needs: private servers and databases."""
