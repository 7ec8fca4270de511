"""What every HTTP request passes, whatever it asks for: its head and its body in time, its id, its headers, the end."""
