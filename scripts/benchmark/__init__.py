"""What `scripts/bench` is made of.

cache      where peers are installed
machine    runs programs on their processor, and measures them
target     nginx, which serves every scenario
load       what one run asks of a generator
peers      the generators beside squall, and how each is had and asked
lineup     which of them stand beside each other
squall     squall itself
scenarios  the tables of CPU per request
waiting    the memory of users that wait
goals      whether the figures are what they shall be
report     what is printed
fleet      the generator's zip, and offering seats
"""
