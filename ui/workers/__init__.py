"""Workers: QObjects on separate threads that communicate by signals."""
