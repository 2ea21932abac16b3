"""Configure the machines: application and database files, the Ansible inventory, and the run itself."""
