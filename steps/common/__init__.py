"""What every stage needs: errors for users, whole files, progress, parallel maps, provenance."""
